"""One generation as the verifier sees it: block in, verdict out, no I/O (design 3).

The session keeps the history and decides; it never touches the target model. `plan` says what the model must
read, `judge` turns the logits into the verdict:

    work = session.plan(block, read)
    logits = ...                        # the target reads work.tokens, hands back work.rows rows
    verdict = session.judge(block, logits)

Only `judge` changes the history: a block that is refused, or whose forward pass fails, leaves it as it was.
All randomness is keyed by (seed, position, purpose).
"""

from collections import abc
from dataclasses import dataclass

import numpy as np

from cuhlm.codec.base import Codec
from cuhlm.codec.find import find_codec
from cuhlm.codec.whole_law import encode_law
from cuhlm.errors import ConfigurationError, PayloadError, ProtocolError
from cuhlm.messages import Array, Audit, Block, Chunk, Opening, Payload, Verdict, Verification
from cuhlm.theory.distributions import distribution
from cuhlm.theory.race import race
from cuhlm.theory.randomness import Purpose, uniform
from cuhlm.theory.score import PLAUSIBLE, plausibility
from cuhlm.theory.truncation import top_k
from cuhlm.theory.verification import accepts, rejection, replacement

_HIGHEST = 1 + 1e-5
"""A probability of a float32 law."""


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
        end_tokens: with which the target ends; nothing is decided behind one.

    Raises:
        ProtocolError: the opening does not fit the model, or names a codec that there is not.
    """

    def __init__(
        self,
        opening: Opening,
        *,
        vocab_size: int,
        context_length: int,
        max_block: int,
        end_tokens: frozenset[int] = frozenset(),
    ) -> None:
        if not 1 <= opening.vocab_size <= vocab_size:
            raise ProtocolError(
                f"the device asks for a vocabulary of {opening.vocab_size} tokens; this model has {vocab_size}; "
                "use a draft model of the same family"
            )
        self._opening = opening
        self._codec = _codec_of(opening)
        self._context_length = context_length
        self._max_block = max_block
        self._end_tokens = end_tokens
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

    @property
    def history(self) -> abc.Sequence[int]:
        """All that is decided, the prompt included."""
        return self._history

    @property
    def has_ended(self) -> bool:
        """Whether the last decided token ends the target's turn."""
        return self._history[-1] in self._end_tokens

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
        self.check(block)
        rows = len(block.drafted) + min(1, block.generate)
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
        self._history += (*block.sync, *block.drafted[: verdict.accepted])
        self._agreed = len(self._history)  # beyond it the target may have read drafts that did not stand
        if verdict.token is not None:
            self._history.append(verdict.token)
        return verdict

    def _verdict(self, block: Block, logits: Array) -> Verdict:
        if self._opening.verification in (Verification.SPECULATIVE, Verification.SPLIT) and block.drafted:
            return self._judged(block, logits)
        return self._compared(block, logits)

    def _compared(self, block: Block, logits: Array) -> Verdict:
        """Drafts as far as they stand (design 2.6, 2.11), and the target's own token behind them.

        What the device keeps stands in any case. Nothing is decided behind an end token; one that was asked for is the
        verdict's token.
        """
        audits: list[Audit] = []

        def verdict(accepted: int, token: int | None) -> Verdict:
            return Verdict(block.position, accepted, token, judged=len(block.drafted), audits=tuple(audits))

        for offset, row in enumerate(logits):
            target_probs = distribution(row, self._opening.sampling)
            own = race(target_probs, self._opening.seed, block.position + offset).token
            if offset == len(block.drafted):
                return verdict(offset, own)
            draft = block.drafted[offset]
            if block.kept and block.kept[offset]:
                audits.append(Audit(plausibility(row, draft), float(target_probs[draft]), draft != own))
                if draft in self._end_tokens:
                    return verdict(offset + 1, None)
            elif not self._stands(draft, own, row):
                return verdict(offset, own)
            elif draft in self._end_tokens:
                return verdict(offset, draft)
        return verdict(len(block.drafted), None)

    def _stands(self, draft: int, own: int, row: Array) -> bool:
        return draft == own or (self._opening.relaxed and plausibility(row, draft) >= PLAUSIBLE)

    def _judged(self, block: Block, logits: Array) -> Verdict:
        """Each draft by its own law (design 2.2), and the bonus token."""
        seed, sampling = self._opening.seed, self._opening.sampling
        drafts = len(block.drafted)
        betas: list[float] = []
        laws = [self._codec.decode(payload, self._opening.vocab_size) for payload in block.payloads]
        believed_all = block.probabilities or [
            law.probability(token) for law, token in zip(laws, block.drafted, strict=True)
        ]
        for offset, (token, believed) in enumerate(zip(block.drafted, believed_all, strict=True)):
            position = block.position + offset
            target_probs = distribution(logits[offset], sampling)
            wanted = float(target_probs[token])
            betas.append(rejection(believed, wanted))
            if accepts(believed, wanted, uniform(seed, position, Purpose.ACCEPT)):
                continue
            if self._opening.verification is Verification.SPLIT:
                y = self._law_down(target_probs)
                return Verdict(block.position, offset, None, tuple(betas), judged=drafts, law=y)
            other = replacement(laws[offset].rebuilt(), target_probs, uniform(seed, position, Purpose.RESIDUAL))
            return Verdict(block.position, offset, other, tuple(betas), judged=drafts)
        bonus = self._target_token(logits[drafts], block.position + drafts) if block.generate else None
        return Verdict(block.position, drafts, bonus, tuple(betas), judged=drafts)

    def _target_token(self, logits: Array, position: int) -> int:
        """What the target draws by the race of the shared seed."""
        return race(distribution(logits, self._opening.sampling), self._opening.seed, position).token

    def _law_down(self, target_probs: Array) -> Payload:
        """y, as the device asked for it."""
        entries = min(self._opening.law_entries, int(np.count_nonzero(target_probs)))
        if entries == 0:
            return encode_law(target_probs)
        return self._codec.encode(*top_k(target_probs, entries), self._opening.vocab_size)

    def check_chunk(self, chunk: Chunk) -> None:
        """Refuse drafts streamed ahead that no device sends; those that come too late, or are dead, are not among them.

        Raises:
            ProtocolError: saying so.
        """
        if len(chunk.drafted) > self._max_block:
            raise ProtocolError(
                f"{len(chunk.drafted)} drafts are streamed ahead at once; expected at most {self._max_block}"
            )
        self._check_kept(chunk.kept, len(chunk.drafted))
        self._check_tokens(chunk.drafted)

    def _check_kept(self, kept: tuple[bool, ...], drafted: int) -> None:
        if kept and (len(kept) != drafted or self._opening.verification is not Verification.AUDITED):
            raise ProtocolError(
                f"the device says of {len(kept)} drafts whether it keeps them; expected that of {drafted} in a session "
                f"that was opened to have them audited, and of none in others: the rule of this one is "
                f"{self._opening.verification}"
            )

    def check(self, block: Block) -> None:
        """Refuse a block that does not continue the history or is malformed.

        Raises:
            ProtocolError: saying so.
        """
        begins = block.position - len(block.sync)
        if begins != len(self._history):
            raise ProtocolError(
                f"the block begins at position {begins}; expected {len(self._history)}, where the history ends; "
                "open a new session with the whole sequence as its prompt"
            )
        payloads = len(block.drafted) if self._opening.verification is Verification.SPECULATIVE else 0
        if len(block.payloads) != payloads:
            raise ProtocolError(
                f"{len(block.payloads)} payloads for {len(block.drafted)} drafted tokens; expected {payloads}: "
                f"the rule of this session is {self._opening.verification}"
            )
        self._check_probabilities(block)
        if block.drafted and self._opening.verification is Verification.TARGET:
            raise ProtocolError(
                f"the block drafts {len(block.drafted)} tokens; expected none in a session that was opened to let the "
                "target draw alone; open another to have drafts judged"
            )
        self._check_kept(block.kept, len(block.drafted))
        if not (block.generate <= 1 if block.drafted else block.generate >= 1):
            raise ProtocolError(
                f"the block drafts {len(block.drafted)} tokens and asks for {block.generate}; expected drafts and at "
                "most one token behind them, or tokens alone"
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

    def _check_probabilities(self, block: Block) -> None:
        wanted = len(block.drafted) if self._opening.verification is Verification.SPLIT else 0
        if len(block.probabilities) != wanted or not all(0 < each <= _HIGHEST for each in block.probabilities):
            raise ProtocolError(
                f"{len(block.probabilities)} probabilities came for {len(block.drafted)} drafted tokens; expected "
                f"{wanted}, above 0 and at most 1: the rule of this session is {self._opening.verification}"
            )

    def _check_tokens(self, tokens: tuple[int, ...]) -> None:
        for token in tokens:
            if not 0 <= token < self._opening.vocab_size:
                raise ProtocolError(f"token {token} is outside the vocabulary of {self._opening.vocab_size}")


def _codec_of(opening: Opening) -> Codec:
    try:
        return find_codec(opening.codec)
    except ConfigurationError as error:
        raise ProtocolError(str(error)) from error
