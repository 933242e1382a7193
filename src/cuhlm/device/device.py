"""The device: a draft model, a way to a verifier, and a method to generate with."""

import math
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from cuhlm.channel.clock import VirtualClock
from cuhlm.channel.compute import ComputeTable
from cuhlm.closing import Closing
from cuhlm.codec.find import codec_of
from cuhlm.device.ahead import Ahead
from cuhlm.device.blocks import decode_in_blocks
from cuhlm.device.draft_branch import DraftBranch
from cuhlm.device.drafting import Drafting
from cuhlm.device.drivers import Listener, Worker, drive, drive_async, drive_simulated, not_heard
from cuhlm.device.ending import Ending, Limits
from cuhlm.device.gate import make_gate, make_measurement
from cuhlm.device.keeping import Keeping
from cuhlm.device.kept_ahead import KeptAhead
from cuhlm.device.loop import Loop, decode, delegate
from cuhlm.device.offering import Offering
from cuhlm.device.pairing import differences, shared_vocabulary
from cuhlm.device.risk_loop import decode_within_risk
from cuhlm.device.split import Splitting
from cuhlm.device.steps import Emit, Finish, Reading, Reason
from cuhlm.device.streaming import stream, stream_kept
from cuhlm.engines.base import Engine
from cuhlm.engines.batching import Batcher
from cuhlm.engines.prompting import encode_prompt
from cuhlm.errors import ConfigurationError, ContextOverflow, CuhlmError
from cuhlm.given import instance, whole, wholes
from cuhlm.link.base import Link, LinkSession
from cuhlm.link.lasting import LastingSession
from cuhlm.messages import ModelCard, Opening, Sampling, Verification
from cuhlm.methods import GateRule, Method
from cuhlm.records import TokenRecord
from cuhlm.settings import Settings
from cuhlm.theory.pacing import Trial


@dataclass(frozen=True, slots=True)
class Request:
    """One generation.

    Attributes:
        prompt: tokens, at least one.
        sampling: how distributions are made of logits, on both sides.
        seed: of the keyed randomness, 0 ≤ seed < 2^64: the same seed gives the same answer.
        limits: when to stop.
    """

    prompt: tuple[int, ...]
    sampling: Sampling = Sampling()
    seed: int = 0
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt", wholes("the prompt", self.prompt))
        object.__setattr__(self, "seed", whole("the seed", self.seed))
        instance(Sampling, "the sampling", self.sampling)
        instance(Limits, "the limits", self.limits)
        if not self.prompt:
            raise ConfigurationError("the prompt is empty; expected at least one token")
        if not 0 <= self.seed < 2**64:
            raise ConfigurationError(f"the seed is {self.seed}; expected a whole number from 0 to 2^64 − 1")


class Device(Closing):
    """Generates text with a draft model here and a target model behind a link.

    As many generations at once as the draft model has sequences, each in a thread or a task of its own; what they
    draft at the same time shares a forward pass. The engine and the link stay the caller's to close.

    Args:
        draft: the draft model, or a batcher of it that several devices share. For `remote` only its tokenizer is used.
        link: to a verifier; None where only `local` is used.

    Attributes:
        draft: the draft model, for any number of threads.
        target: the verifier's model card; None without a link.
        vocab_size: tokens that draft and target share.

    Raises:
        IncompatibleModels: draft and target do not share a vocabulary.
        LinkError: the verifier cannot be reached.
    """

    def __init__(self, draft: Engine, link: Link | None) -> None:
        self.draft, self._closes_draft = (draft, False) if isinstance(draft, Batcher) else (Batcher(draft), True)
        self._link = link
        self.target = link.describe() if link else None
        self._trial = Trial() if link and link.shares_machine else None
        self.vocab_size = draft.card.vocab_size
        if link and self.target:
            self.vocab_size = shared_vocabulary(draft, self.target, link.vocabulary)

    def prompt(self, text: str, *, system: str | None = None, raw: bool = False) -> tuple[int, ...]:
        """The tokens of a user's message, as the target is spoken to; without a link, as the draft is.

        Args:
            text: what the user says. Names of special tokens in it are text, but where `raw`.
            system: a system message before it.
            raw: takes the text as it is, without the chat template.

        Raises:
            ConfigurationError: a text is no Unicode.
            ModelError: the chat template fails.
        """
        ours = self.draft.card.chat
        chat = self.target.chat if self.target else ours
        confined = chat.template != ours.template  # what a verifier sends is a stranger's, unless we have it too
        return encode_prompt(self.draft.tokenizer, chat, text, system=system, raw=raw, confined=confined)

    @property
    def notes(self) -> list[str]:
        """What a person should know of the pair: where the draft says otherwise than the target, which is followed."""
        return [] if self.target is None else differences(self.draft.card, self.target)

    def close(self) -> None:
        """End the draft model's thread, and with an error whatever still drafts; closing twice is allowed.

        A batcher that was handed in stays its maker's to close.
        """
        if self._closes_draft:
            self.draft.close()

    def check_reach(self, method: Method) -> None:
        """Refuse a method that asks a verifier where there is none.

        Raises:
            ConfigurationError: saying so.
        """
        if method.gate is not GateRule.NEVER and self._link is None:
            raise ConfigurationError(f"the method {method.name} needs a verifier; give --verifier or --target")

    def generate(
        self,
        settings: Settings,
        request: Request,
        listener: Listener = not_heard,
        *,
        keeping: Keeping | None = None,
    ) -> Generator[Emit, None, Finish]:
        """Generate with `settings`, blocking; yields tokens as they are decided.

        Args:
            settings: a method with its numbers.
            request: what to answer, and how.
            listener: is told how far the prompt is read, where that takes long, and of drafts that are not decided
                yet, where the method streams them ahead.
            keeping: where the method has a risk budget, the account of the answers before in this conversation, which
                this one goes on with, its score refined by their audits; None begins one.

        Raises:
            ConfigurationError: the method needs a verifier and there is none.
            ContextOverflow: the prompt does not fit.
            ModelBusy: other generations hold all sequences of the draft model.
            LinkError: the verifier was lost; what was yielded before stands.
        """
        with self._prepared(settings, request, keeping) as prepared:
            if prepared.session is not None:
                prepared.session.ready(_told_to(listener, request))
            return (yield from drive(prepared.loop, prepared.session, listener))

    async def generate_async(
        self,
        settings: Settings,
        request: Request,
        listener: Listener = not_heard,
        *,
        keeping: Keeping | None = None,
    ) -> AsyncGenerator[Emit | Finish, None]:
        """As `generate`, without blocking the event loop; the last item is the `Finish`.

        The listener is called in the generation's own thread.
        """
        # The stack closes what was prepared, also where the caller was cancelled meanwhile.
        with Worker() as worker, ExitStack() as stack:
            prepared = await worker.run(stack.enter_context, self._prepared(settings, request, keeping))
            if prepared.session is not None:
                await worker.run(prepared.session.ready, _told_to(listener, request), give_up=prepared.close)
            driven = drive_async(prepared.loop, prepared.session, worker, give_up=prepared.close, listener=listener)
            async for item in driven:
                yield item

    def generate_path(
        self, settings: Settings, request: Request, *, keeping: Keeping | None = None
    ) -> Generator[Emit, None, Finish]:
        """As `generate`, but a method that streams drafts ahead asks for each token alone.

        The text of `lossless` is the same, and its trace has the draft on the target's own history at every position:
        what it costs on any channel follows from that (`cuhlm.measuring.timeline`). That of `opportunistic` depends on
        no clock then.
        """
        return self.generate(_asking_one_by_one(settings), request, keeping=keeping)

    def generate_simulated(
        self, settings: Settings, request: Request, *, clock: VirtualClock, compute: ComputeTable
    ) -> Generator[Emit, None, Finish]:
        """As `generate`, on the virtual clock that the device's `SimulatedLink` runs on.

        A method that streams drafts ahead asks for each token alone, as in `generate_path`.
        """
        with self._prepared(_asking_one_by_one(settings), request) as prepared:
            if prepared.session is not None:
                prepared.session.ready()
            return (yield from drive_simulated(prepared.loop, prepared.session, clock, compute))

    @contextmanager
    def _prepared(
        self, settings: Settings, request: Request, keeping: Keeping | None = None
    ) -> Generator["_Prepared", None, None]:
        """The parts of one generation, which are closed afterwards whatever happens."""
        self.check_reach(settings.method)
        ending = self._ending(settings, request)
        with ExitStack() as stack:
            drafting = session = None
            if settings.risk is None:
                keeping = None
            elif keeping is None:
                keeping = Keeping(settings.risk)
            else:
                keeping.refine()
            if settings.method.drafts:
                drafting = self._drafting(settings, request, ending, keeping)
                stack.callback(drafting.close)
            if self._link is not None and settings.method.gate is not GateRule.NEVER:
                opening = self._opening(settings, request)
                lasts = settings.risk is not None and settings.method.streams  # such a loop goes on alone meanwhile
                session = LastingSession(self._link, opening) if lasts else self._link.open(opening)
                stack.callback(session.close)
            loop = self._loop(settings, request, drafting, ending, keeping)
            try:
                yield _Prepared(loop, session, drafting)
            except CuhlmError as error:
                error.held_back = ending.rest()
                raise
            loop.close()

    def _drafting(
        self, settings: Settings, request: Request, ending: Ending, keeping: Keeping | None
    ) -> Drafting | Ahead | KeptAhead:
        is_audited = settings.method.verification is Verification.AUDITED
        if not settings.method.streams:
            keyed = is_audited or settings.method.verification is Verification.KEYED
            return Drafting(self.draft.open(), request.sampling, request.seed, self.vocab_size, keyed=keyed)
        # The last token of `lossless` is the target's: nothing is behind it that a draft could save a pass for.
        room = min(len(request.prompt) + ending.left, self.draft.card.context_length) - (not is_audited)
        branch = DraftBranch(
            self.draft,
            request.prompt,
            request.sampling,
            request.seed,
            self.vocab_size,
            end_tokens=ending.end_tokens,
            longest=room,
            measure=make_measurement(settings.uncertainty, request.seed) if is_audited else None,
        )
        if keeping is not None:
            return KeptAhead(branch, keeping)
        trial = self._trial if settings.patience_seconds < math.inf else None  # the patient want few passes
        return Ahead(branch, asks=settings.patience_seconds > 0, trial=trial)

    def _opening(self, settings: Settings, request: Request) -> Opening:
        assert settings.method.verification is not None, "a method that asks has a rule by which it is answered"
        return Opening(
            request.prompt,
            request.sampling,
            request.seed,
            self.vocab_size,
            verification=settings.method.verification,
            codec=codec_of(settings).name,
            target_fingerprint=self.target.fingerprint if self.target else "",
            patience_seconds=settings.patience_seconds if settings.method.streams else 0.0,
            relaxed=settings.relaxed,
            law_entries=settings.law_entries,
        )

    def _loop(
        self,
        settings: Settings,
        request: Request,
        drafting: Drafting | Ahead | KeptAhead | None,
        ending: Ending,
        keeping: Keeping | None,
    ) -> Loop:
        clock, piece = time.perf_counter, self.draft.tokenizer.piece
        if drafting is None:
            return delegate(request.prompt, ending)
        if isinstance(drafting, Ahead):
            return stream(drafting, ending, piece, clock=clock)
        if isinstance(drafting, KeptAhead):
            return stream_kept(drafting, ending, piece, clock=clock)
        if keeping is not None:
            measure = make_measurement(settings.uncertainty, request.seed)
            return decode_within_risk(request.prompt, drafting, measure, keeping, ending, clock=clock)
        offering = Offering(settings, codec_of(settings), request.seed, self.vocab_size)
        gate = make_gate(settings, request.seed)
        if settings.block > 1 or settings.method.verification is Verification.SPLIT:
            splitting = Splitting(codec_of(settings) if settings.law_entries else None, request.seed, self.vocab_size)
            return decode_in_blocks(
                request.prompt, drafting, gate, offering, splitting, ending, block=settings.block, clock=clock
            )
        return decode(request.prompt, drafting, gate, offering, ending, clock=clock)

    def _ending(self, settings: Settings, request: Request) -> Ending:
        cards = self._cards(settings)
        # What is streamed ahead changes no text: a draft model that holds less stops drafting where it is full.
        changes_none = settings.method.streams and settings.method.verification is Verification.KEYED
        holding = cards[-1:] if changes_none else cards
        context = min(card.context_length for card in holding)
        room = context - len(request.prompt)
        if room < 1:
            raise ContextOverflow(
                f"the prompt has {len(request.prompt)} tokens; draft and target hold {context}, the answer included; "
                "shorten the prompt or give a larger --context"
            )
        return Ending(request.limits, cards[-1].end_tokens, room, self.draft.tokenizer.piece)

    def _cards(self, settings: Settings) -> list[ModelCard]:
        """Cards of the models that take part; the last one's end tokens count."""
        drafts = [self.draft.card] if settings.method.drafts else []
        asked = [self.target] if self.target and settings.method.gate is not GateRule.NEVER else []
        return drafts + asked


def _told_to(listener: Listener, request: Request) -> Callable[[int], None]:
    return lambda prompt_read: listener(Reading(min(prompt_read, len(request.prompt)), len(request.prompt)))


def _asking_one_by_one(settings: Settings) -> Settings:
    return replace(settings, method=replace(settings.method, streams=False))


@dataclass(frozen=True, slots=True)
class _Prepared:
    """The parts of one generation.

    Attributes:
        loop: the algorithm.
        session: with the verifier; None where the method never asks.
        drafting: with the draft model; None where the method never drafts.
    """

    loop: Loop
    session: LinkSession | None
    drafting: Drafting | Ahead | KeptAhead | None

    def close(self) -> None:
        """End what any thread waits for in it; closing twice is allowed."""
        for part in (self.session, self.drafting):
            if part is not None:
                part.close()


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished generation.

    Attributes:
        records: one per token.
        text: without end tokens, and up to the stop string.
        reason: why it ended.
    """

    records: tuple[TokenRecord, ...]
    text: str
    reason: Reason

    @property
    def tokens(self) -> tuple[int, ...]:
        """The token ids, an end token included."""
        return tuple(record.token for record in self.records)


def collect(generation: Generator[Emit, None, Finish]) -> Answer:
    """Run a generation to its end."""
    emits: list[Emit] = []
    while True:
        try:
            emits.append(next(generation))
        except StopIteration as end:
            finish: Finish = end.value
            text = "".join(emit.text for emit in emits) + finish.text
            return Answer(tuple(emit.record for emit in emits), text, finish.reason)
