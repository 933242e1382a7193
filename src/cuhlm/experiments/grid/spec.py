"""What an experiment is asked to do. The fields are the keys of its TOML file, which `spec_file` reads and checks."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from msgspec import Meta

from cuhlm.channel.compute import ComputeTable, find_compute
from cuhlm.channel.presets import Channel, find_channel
from cuhlm.errors import ConfigurationError
from cuhlm.messages import Verification
from cuhlm.methods import DraftFrom, GateRule, Method, TruncationRule, find_method
from cuhlm.profiles import Profile
from cuhlm.readable import Count, Finite, NotNegative, Share, Some, WholeNumber
from cuhlm.settings import DEFAULT_RISK, Rule, Settings, settings_for

QUICK_PROMPTS = 4

T = TypeVar("T")
OneOrSome: TypeAlias = T | Some[T]
Threshold = Rule | Share
OfProfile = Literal["profile"]
OF_PROFILE: OfProfile = "profile"
Budget = Annotated[float, Meta(gt=0, lt=1)]
Width = Annotated[int, Meta(ge=4, le=16)]
Seed = Annotated[int, Meta(ge=0, lt=2**32)]


@dataclass(frozen=True, slots=True)
class PromptSet:
    """Prompts.

    Attributes:
        file: JSON lines, see `cuhlm.measuring.prompts`.
        limit: take this many, spread over the file; None takes all.
        system: system message before each.
        first: and of these only as many from the start; None takes all.
    """

    file: Path
    limit: Count | None = None
    system: str | None = None
    first: Count | None = None


@dataclass(frozen=True, slots=True)
class MethodChoice:
    """A method with what the spec says of its numbers; the rest comes from the profile.

    Attributes:
        method: its row.
        threshold: u_th, or a rule of the profile; of gated methods.
        draft_from: which law a sent draft is drawn from.
        vartheta: bound of the online truncation; None takes the profile's.
        k: entries of the offline truncation; None takes the profile's k*.
        b_prob: bits per probability sent.
        risk: budget of a method that has one.
        law_entries: of y, that come down where `split` rejects a draft; 0 is all of it.
    """

    method: Method
    threshold: str | float = 0.0
    draft_from: DraftFrom = DraftFrom.X
    vartheta: float | None = None
    k: int | None = None
    b_prob: int = 8
    risk: float = DEFAULT_RISK
    law_entries: int = 0

    @property
    def has_budget(self) -> bool:
        """Whether it keeps what its budget allows."""
        return self.method.gate is GateRule.RISKY

    @property
    def is_gated(self) -> bool:
        """Whether it has a threshold."""
        return self.method.is_gated

    @property
    def needs_profile(self) -> bool:
        """Whether it takes numbers from the profile."""
        return self.is_gated or self.has_budget or (self.method.truncation is TruncationRule.OFFLINE and self.k is None)

    @property
    def label(self) -> str:
        """The method with the numbers that differ from the usual, as a name that a file can have."""
        parts = [self.method.name]
        if self.is_gated:
            parts.append(str(self.threshold))
        if self.draft_from is not DraftFrom.X:
            parts.append(self.draft_from)
        parts += [f"{name}{value:g}" for name, value in (("theta", self.vartheta), ("k", self.k)) if value is not None]
        if self.b_prob != 8:
            parts.append(f"b{self.b_prob}")
        if self.has_budget:
            parts.append(f"risk{self.risk:g}")
        if self.law_entries:
            parts.append(f"y{self.law_entries}")
        return "_".join(parts)

    def settings(self, profile: Profile | None) -> Settings:
        """The method with all its numbers."""
        return settings_for(
            self.method,
            profile if self.needs_profile else None,
            threshold=self.threshold,
            k=self.k,
            vartheta=self.vartheta,
            draft_from=self.draft_from,
            b_prob=self.b_prob,
            risk=self.risk,
            law_entries=self.law_entries,
        )


def _each(numbers: Any) -> tuple[Any, ...]:
    """One number, or several; None where the profile's is meant."""
    several = numbers if isinstance(numbers, tuple) else (numbers,)
    return tuple(None if number == OF_PROFILE else number for number in several)


@dataclass(frozen=True, slots=True)
class Methods:
    """A method with several numbers, in the order of `MethodChoice`, whose attributes these are.

    Attributes:
        method: its name.
        vartheta, k: "profile" takes the profile's.

    Raises:
        ConfigurationError: the method is unknown, or a number is given that it does not use.
    """

    method: str
    threshold: OneOrSome[Threshold] = 0.0
    draft_from: OneOrSome[DraftFrom] = DraftFrom.X
    vartheta: OneOrSome[OfProfile | NotNegative] = OF_PROFILE
    k: OneOrSome[OfProfile | Count] = OF_PROFILE
    b_prob: OneOrSome[Width] = 8
    risk: OneOrSome[Budget] = DEFAULT_RISK
    law_entries: OneOrSome[WholeNumber] = 0

    def __post_init__(self) -> None:
        method = find_method(self.method)
        for name, usual, is_used in (
            ("threshold", 0.0, method.is_gated),
            ("vartheta", OF_PROFILE, method.truncation is TruncationRule.ONLINE),
            ("k", OF_PROFILE, method.truncation is TruncationRule.OFFLINE),
            ("risk", DEFAULT_RISK, method.gate is GateRule.RISKY),
            ("law_entries", 0, method.verification is Verification.SPLIT),
        ):
            given = getattr(self, name)
            if given != usual and not is_used:
                raise ConfigurationError(f"{self.method} has no {name}, and {given!r} is given; expected none")

    def choices(self) -> Iterator[MethodChoice]:
        """One for every combination of the numbers."""
        method = find_method(self.method)
        numbers = (_each(getattr(self, field.name)) for field in fields(self)[1:])
        return (MethodChoice(method, *combination) for combination in product(*numbers))


@dataclass(frozen=True, slots=True)
class Walk:
    """Texts of the target's own, measured position by position.

    Attributes:
        prompts: the prompt set's name.
        max_tokens: longest text.
        temperatures: at which the target writes; where a file has none, those of the grid's first part, and of a long
            walk the first of them.
    """

    prompts: str
    max_tokens: Count
    temperatures: tuple[NotNegative, ...] = ()


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the profile is made from.

    Attributes:
        prompts: the prompt set's name; should not be one that the grid runs.
        max_tokens: per prompt.
        temperature: None calibrates at each that is run.
        vartheta: bound ϑ, of k* and of the online truncation.
    """

    prompts: str
    max_tokens: Count = 64
    temperature: NotNegative | None = None
    vartheta: NotNegative = 0.1


@dataclass(frozen=True, slots=True)
class Sweep:
    """One fading channel at several signal-to-noise ratios, as the paper counts time and as a user feels it.

    Attributes:
        channel: the name of a channel that has an SNR.
        snr_db: decibels.
        rtt_ms: round trip of the user's count; the paper's has none.
        outage: probability of a deeper fade than the one billed. Over all fades the mean time is infinite.
    """

    channel: str = "paper"
    snr_db: tuple[Finite, ...] = ()
    rtt_ms: NotNegative = 50.0
    outage: Share = 0.1

    def name(self, snr_db: float, *, felt: bool) -> str:
        """The channel at `snr_db`; with the round trip where `felt`."""
        fading = f":outage={self.outage:g}"
        return f"{self.channel}:snr_db={snr_db:g}{fading}" + (f":rtt_ms={self.rtt_ms:g}" if felt else "")

    @property
    def names(self) -> list[str]:
        """All its channels."""
        return [self.name(snr_db, felt=felt) for felt in (False, True) for snr_db in self.snr_db]


@dataclass(frozen=True, slots=True)
class Billing:
    """What each answer is billed for, once it is decoded.

    Attributes:
        channels: by name, beside the sweep's.
        compute: tables by name.
        sweep: over the SNR.
    """

    channels: tuple[str, ...] = ()
    compute: Some[str] = ("measured",)
    sweep: Sweep = Sweep()

    def all_channels(self) -> list[Channel]:
        """Every channel to bill for, once."""
        return [find_channel(name) for name in dict.fromkeys((*self.channels, *self.sweep.names))]

    def all_compute(self) -> list[ComputeTable]:
        """Every compute table to bill with."""
        return [find_compute(name) for name in self.compute]


@dataclass(frozen=True, slots=True)
class Headline:
    """Which points the headline table shows.

    Attributes:
        thresholds: operating points; each is run by the grid.
        temperature: of both models.
        snr_db: at which throughput is compared; each is in the sweep.
        compute: the table that throughput is compared with.
    """

    thresholds: Some[Threshold]
    temperature: NotNegative
    snr_db: Some[Finite]
    compute: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A product of axes that is run whole.

    Attributes:
        methods: first axis, of all their choices.
        prompts: names of prompt sets.
        temperatures: T of both models.
        seeds: of the keyed randomness.
        max_tokens: per answer.
        shares_prefixes: whether a token that several answers to a prompt begin with is read once for all of them.
            Forward passes then have no times of their own.
        measures_quality: whether TV, KL and NLL are taken at every token. It costs a pass of both models over each
            answer; without, the target reads no more than a method sends it.
    """

    methods: Some[Methods]
    prompts: Some[str]
    temperatures: Some[NotNegative]
    seeds: Some[Seed] = (0,)
    max_tokens: Count
    shares_prefixes: bool = False
    measures_quality: bool = True

    @property
    def choices(self) -> list[MethodChoice]:
        """The methods, each with its numbers."""
        return [choice for methods in self.methods for choice in methods.choices()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A whole experiment.

    Attributes:
        title: for the report.
        draft, target: model references.
        context: tokens that a sequence can hold.
        prompts: sets by name.
        calibration: of the pair.
        grid: its parts; the headline is about the first one's first prompt set.
        billing: of every answer.
        headline: points of the headline table.
        walk: for the statistics and ablations.
        long_walk: likewise, for how calibration holds in long texts.
    """

    title: str
    draft: str
    target: str
    context: Count = 2048
    prompts: dict[str, PromptSet]
    calibration: Calibration
    grid: Some[Part]
    billing: Billing
    headline: Headline | None = None
    walk: Walk | None = None
    long_walk: Walk | None = None

    @property
    def first_prompts(self) -> str:
        """The prompt set that the headline is about."""
        return self.grid[0].prompts[0]

    @property
    def temperatures(self) -> tuple[float, ...]:
        """Of all parts."""
        return tuple(dict.fromkeys(temperature for part in self.grid for temperature in part.temperatures))

    @property
    def calibration_temperatures(self) -> tuple[float, ...]:
        """At which a profile is made."""
        walks = [walk.temperatures for walk in (self.walk, self.long_walk) if walk]
        needed = (*self.temperatures, *(temperature for each in walks for temperature in each))
        return tuple(dict.fromkeys(map(self.calibrated_at, needed)))

    def calibrated_at(self, temperature: float) -> float:
        """The temperature of the profile that goes with `temperature`."""
        given = self.calibration.temperature
        return temperature if given is None else given

    def limited(self, prompts: int) -> "Spec":
        """With the first prompts of each set only, except for calibration: a profile of few tokens is another one."""
        sets = {
            name: each if name == self.calibration.prompts else replace(each, first=prompts)
            for name, each in self.prompts.items()
        }
        return replace(self, prompts=sets)

    def quick(self) -> "Spec":
        """A small version that shows whether all of it works: few prompts, short answers."""
        walks = [
            None if walk is None else replace(walk, max_tokens=tokens, temperatures=walk.temperatures[:1])
            for walk, tokens in ((self.walk, 12), (self.long_walk, 24))
        ]
        return replace(
            self,
            prompts={name: replace(each, first=each.first or QUICK_PROMPTS) for name, each in self.prompts.items()},
            calibration=replace(self.calibration, max_tokens=min(24, self.calibration.max_tokens)),
            grid=tuple(replace(part, max_tokens=min(12, part.max_tokens)) for part in self.grid),
            walk=walks[0],
            long_walk=walks[1],
        )
