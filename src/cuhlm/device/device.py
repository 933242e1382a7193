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
from cuhlm.device.drafting import Drafting
from cuhlm.device.drivers import Listener, Worker, drive, drive_async, drive_simulated, not_heard
from cuhlm.device.ending import Ending, Limits
from cuhlm.device.gate import make_gate
from cuhlm.device.loop import Loop, decode, delegate
from cuhlm.device.offering import Offering
from cuhlm.device.pairing import differences, shared_vocabulary
from cuhlm.device.steps import Emit, Finish, Reading, Reason
from cuhlm.device.streaming import stream
from cuhlm.engines.base import Engine
from cuhlm.engines.batching import Batcher
from cuhlm.engines.prompting import encode_prompt
from cuhlm.errors import ConfigurationError, ContextOverflow, CuhlmError
from cuhlm.given import instance, whole, wholes
from cuhlm.link.base import Link, LinkSession
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
        self, settings: Settings, request: Request, listener: Listener = not_heard
    ) -> Generator[Emit, None, Finish]:
        """Generate with `settings`, blocking; yields tokens as they are decided.

        Args:
            settings: a method with its numbers.
            request: what to answer, and how.
            listener: is told how far the prompt is read, where that takes long, and of drafts that are not decided
                yet, where the method streams them ahead.

        Raises:
            ConfigurationError: the method needs a verifier and there is none.
            ContextOverflow: the prompt does not fit.
            ModelBusy: other generations hold all sequences of the draft model.
            LinkError: the verifier was lost; what was yielded before stands.
        """
        with self._prepared(settings, request) as prepared:
            if prepared.session is not None:
                prepared.session.ready(_told_to(listener, request))
            return (yield from drive(prepared.loop, prepared.session, listener))

    async def generate_async(
        self, settings: Settings, request: Request, listener: Listener = not_heard
    ) -> AsyncGenerator[Emit | Finish, None]:
        """As `generate`, without blocking the event loop; the last item is the `Finish`.

        The listener is called in the generation's own thread.
        """
        # The stack closes what was prepared, also where the caller was cancelled meanwhile.
        with Worker() as worker, ExitStack() as stack:
            prepared = await worker.run(stack.enter_context, self._prepared(settings, request))
            if prepared.session is not None:
                await worker.run(prepared.session.ready, _told_to(listener, request), give_up=prepared.close)
            driven = drive_async(prepared.loop, prepared.session, worker, give_up=prepared.close, listener=listener)
            async for item in driven:
                yield item

    def generate_path(self, settings: Settings, request: Request) -> Generator[Emit, None, Finish]:
        """As `generate`, but a method that streams drafts ahead asks for each token alone.

        Its text is the same, and its trace has the draft on the target's own history at every position: what it costs
        on any channel follows from that (`cuhlm.measuring.timeline`).
        """
        return self.generate(_asking_one_by_one(settings), request)

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
    def _prepared(self, settings: Settings, request: Request) -> Generator["_Prepared", None, None]:
        """The parts of one generation, which are closed afterwards whatever happens."""
        self.check_reach(settings.method)
        ending = self._ending(settings, request)
        with ExitStack() as stack:
            drafting = session = None
            if settings.method.drafts:
                drafting = self._drafting(settings, request, ending)
                stack.callback(drafting.close)
            if self._link is not None and settings.method.gate is not GateRule.NEVER:
                session = self._link.open(self._opening(settings, request))
                stack.callback(session.close)
            loop = self._loop(settings, request, drafting, ending)
            try:
                yield _Prepared(loop, session, drafting)
            except CuhlmError as error:
                error.held_back = ending.rest()
                raise
            loop.close()

    def _drafting(self, settings: Settings, request: Request, ending: Ending) -> Drafting | Ahead:
        if settings.method.streams:
            return Ahead(
                self.draft,
                request.prompt,
                request.sampling,
                request.seed,
                self.vocab_size,
                end_tokens=ending.end_tokens,
                longest=min(len(request.prompt) + ending.left, self.draft.card.context_length),
                asks=settings.patience_seconds > 0,
                trial=self._trial if settings.patience_seconds < math.inf else None,  # the patient want few passes
            )
        keyed = settings.method.verification is Verification.KEYED
        return Drafting(self.draft.open(), request.sampling, request.seed, self.vocab_size, keyed=keyed)

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
        )

    def _loop(self, settings: Settings, request: Request, drafting: Drafting | Ahead | None, ending: Ending) -> Loop:
        if drafting is None:
            return delegate(request.prompt, ending)
        if isinstance(drafting, Ahead):
            return stream(drafting, ending, self.draft.tokenizer.piece, clock=time.perf_counter)
        offering = Offering(settings, codec_of(settings), request.seed, self.vocab_size)
        if settings.block > 1:
            return decode_in_blocks(
                request.prompt, drafting, offering, ending, block=settings.block, clock=time.perf_counter
            )
        gate = make_gate(settings, request.seed)
        return decode(request.prompt, drafting, gate, offering, ending, clock=time.perf_counter)

    def _ending(self, settings: Settings, request: Request) -> Ending:
        cards = self._cards(settings)
        # What is streamed ahead changes no text: a draft model that holds less stops drafting where it is full.
        holding = cards[-1:] if settings.method.streams else cards
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
    drafting: Drafting | Ahead | None

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
