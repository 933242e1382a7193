"""One generation as the verifier sees it: block in, verdict out, no I/O (design 3).

The session keeps the history and decides; it never touches the target model. `plan` says what the model must
read, `judge` turns the logits into the verdict:

    work = session.plan(block, read)
    logits = ...                        # the target reads work.tokens, hands back work.rows rows
    verdict = session.judge(block, logits)

Only `judge` changes the history: a block that is refused, or whose forward pass fails, leaves it as it was.
All randomness is keyed by (seed, position, purpose).
"""

from dataclasses import dataclass

from cuhlm.codec.base import Codec
from cuhlm.codec.find import find_codec
from cuhlm.errors import ConfigurationError, PayloadError, ProtocolError
from cuhlm.messages import Array, Block, Opening, Verdict, Verification
from cuhlm.theory.distributions import distribution
from cuhlm.theory.race import race
from cuhlm.theory.randomness import Purpose, uniform
from cuhlm.theory.verification import accepts, rejection, replacement


@dataclass(frozen=True, slots=True)
class Work:
    """What the target must do for a block.

    Attributes:
        keep: drop the target's sequence to this length first.
        tokens: then read these.
        rows: and return the logits after each of the last `rows` of them.
    """

    keep: int
    tokens: tuple[int, ...]
    rows: int


class Session:
    """History, validation and judgement of one generation.

    Args:
        opening: what the device began with; checked here against the model.
        vocab_size: length of the target's logit rows.
        context_length: tokens that the target's sequence can hold.
        max_block: drafted tokens that one block may carry.

    Raises:
        ProtocolError: the opening does not fit the model, or names a codec that there is not.
    """

    def __init__(self, opening: Opening, *, vocab_size: int, context_length: int, max_block: int) -> None:
        if not 1 <= opening.vocab_size <= vocab_size:
            raise ProtocolError(
                f"the device asks for a vocabulary of {opening.vocab_size} tokens; this model has {vocab_size}; "
                "use a draft model of the same family"
            )
        self._opening = opening
        self._codec = _codec_of(opening)
        self._context_length = context_length
        self._max_block = max_block
        self._history = list(opening.prompt)
        self._agreed = len(self._history)  # the target's sequence equals the history up to here, if it is that long
        if not opening.prompt:
            raise ProtocolError("the prompt is empty; expected at least one token")
        if len(opening.prompt) >= context_length:
            raise ProtocolError(
                f"the prompt has {len(opening.prompt)} tokens; this verifier holds {context_length}, "
                "the answer included; shorten the prompt or start the verifier with a larger --context"
            )
        self._check_tokens(opening.prompt)

    @property
    def length(self) -> int:
        """Tokens of the history, the prompt included."""
        return len(self._history)

    def prefill(self) -> Work:
        """The prompt but its last token, which the first block's forward pass reads."""
        return Work(0, self._opening.prompt[:-1], 0)

    def plan(self, block: Block, read: int) -> Work:
        """What the target must read for `block`.

        Args:
            block: the device's request.
            read: tokens the target's sequence holds.

        Raises:
            ProtocolError: the block does not continue this history, or is malformed.
        """
        self._check(block)
        rows = max(1, len(block.drafted))
        keep = min(read, self._agreed, block.position - 1)
        return Work(keep, (*self._history[keep:], *block.sync, *block.drafted[: rows - 1]), rows)

    def judge(self, block: Block, logits: Array) -> Verdict:
        """The verdict on `block`.

        Args:
            block: as it was planned.
            logits: the target's rows, shape (rows, |V|): row i holds the law of position ``block.position + i``.

        Raises:
            ProtocolError: a payload is malformed.
        """
        try:
            verdict = self._verdict(block, logits[:, : self._opening.vocab_size])
        except PayloadError as error:
            raise ProtocolError(f"the payload of position {block.position} is malformed: {error}") from error
        self._history += block.sync
        self._history += block.drafted[: verdict.accepted]
        self._agreed = len(self._history)  # beyond it the target may have read drafts that did not stand
        if verdict.token is not None:
            self._history.append(verdict.token)
        return verdict

    def _verdict(self, block: Block, logits: Array) -> Verdict:
        seed, sampling = self._opening.seed, self._opening.sampling
        if not block.drafted:
            return Verdict(block.position, 0, race(distribution(logits[0], sampling), seed, block.position).token)
        betas: list[float] = []
        laws = [self._codec.decode(payload, self._opening.vocab_size) for payload in block.payloads]
        for offset, (token, law) in enumerate(zip(block.drafted, laws, strict=True)):
            position = block.position + offset
            target_probs = distribution(logits[offset], sampling)
            believed, wanted = law.probability(token), float(target_probs[token])
            betas.append(rejection(believed, wanted))
            if not accepts(believed, wanted, uniform(seed, position, Purpose.ACCEPT)):
                other = replacement(law.rebuilt(), target_probs, uniform(seed, position, Purpose.RESIDUAL))
                return Verdict(block.position, offset, other, tuple(betas))
        return Verdict(block.position, len(block.drafted), None, tuple(betas))

    def _check(self, block: Block) -> None:
        """Refuse a block that does not continue the history or is malformed."""
        begins = block.position - len(block.sync)
        if begins != len(self._history):
            raise ProtocolError(
                f"the block begins at position {begins}; expected {len(self._history)}, where the history ends; "
                "open a new session with the whole sequence as its prompt"
            )
        if len(block.drafted) != len(block.payloads):
            raise ProtocolError(
                f"{len(block.payloads)} payloads for {len(block.drafted)} drafted tokens; expected as many"
            )
        if block.drafted and self._opening.verification is Verification.TARGET:
            raise ProtocolError(
                f"the block drafts {len(block.drafted)} tokens; expected none in a session that was opened to let the "
                "target draw alone; open another to have drafts judged"
            )
        if bool(block.drafted) == bool(block.generate):
            raise ProtocolError(
                f"the block drafts {len(block.drafted)} tokens and asks for {block.generate}; expected one of the two"
            )
        wanted = len(block.drafted) + block.generate
        if len(block.drafted) > self._max_block:
            raise ProtocolError(
                f"the block drafts {len(block.drafted)} tokens; expected at most {self._max_block}; "
                "ask for a verdict more often"
            )
        if block.position + wanted > self._context_length:
            raise ProtocolError(
                f"the block reaches position {block.position + wanted}; this verifier holds {self._context_length} "
                "tokens; stop earlier or start the verifier with a larger --context"
            )
        self._check_tokens((*block.sync, *block.drafted))

    def _check_tokens(self, tokens: tuple[int, ...]) -> None:
        for token in tokens:
            if not 0 <= token < self._opening.vocab_size:
                raise ProtocolError(f"token {token} is outside the vocabulary of {self._opening.vocab_size}")


def _codec_of(opening: Opening) -> Codec:
    try:
        return find_codec(opening.codec)
    except ConfigurationError as error:
        raise ProtocolError(str(error)) from error
