"""What to expect of every method, for a pair, a link and a cost of computing (design 2.12).

All of it is replayed on the positions that the pair's profile holds: the target's own texts. A method that keeps tokens
would write another text after a wrong one; it is taken on with as it is.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import NamedTuple

from cuhlm.channel.compute import ComputeTable
from cuhlm.channel.presets import Channel
from cuhlm.codec.find import codec_of
from cuhlm.codec.whole_law import PROBABILITY_BITS
from cuhlm.errors import ConfigurationError
from cuhlm.measuring.kept_timeline import Foreseen, replay_kept
from cuhlm.measuring.timeline import CHUNK_BITS, DRAFT_BITS, VERDICT_BITS, Costs, replay, replay_remote
from cuhlm.methods import METHODS, GateRule, TruncationRule, find_method
from cuhlm.profiles import Profile
from cuhlm.risk_scores import Positions
from cuhlm.settings import SPLIT_BLOCK, RiskSettings, Settings, settings_for
from cuhlm.theory.control import RiskControl
from cuhlm.theory.pacing import PassTime
from cuhlm.theory.randomness import Purpose, uniform
from cuhlm.theory.score import PLAUSIBLE, Wrong

TIE = 1.02
"""Who is faster by less than 2 % wins nothing: the simpler method does."""

LOCAL, REMOTE, LOSSLESS, SPLIT, OPPORTUNISTIC = "local", "remote", "lossless", "split", "opportunistic"
EXACT_METHODS = (REMOTE, LOSSLESS, "hlm")
"""Whose tokens have the target's law, whatever the numbers of the pair; `route` and the like keep some unasked."""

MAP_METHODS = (REMOTE, LOSSLESS, SPLIT, OPPORTUNISTIC)
"""The simplest first. The others ask for one token at a time; of 130 cells for the built-in pair they win none, nor
with a threshold that keeps 30 % of the drafts (2.1 % of all tokens wrong)."""

_SPLIT_LAW_ENTRIES = 30
_SEED = 0


@dataclass(frozen=True, slots=True)
class Text:
    """The positions of one text.

    Attributes:
        u, gap, plausible, beta, agrees: as in `Positions`; a gap is None where nothing else could be drawn.
        score: predicted chance that keeping the draft is wrong (`plausible`).
    """

    u: Sequence[float]
    gap: Sequence[float | None]
    score: Sequence[float]
    plausible: Sequence[float]
    beta: Sequence[float]
    agrees: Sequence[bool]


class Expected(NamedTuple):
    """What to expect of a method.

    Attributes:
        tokens_per_second: of an answer, its first token's round trip included.
        bytes_up, bytes_down: per token.
        passes, rows: of the target, per token.
        kept: share of the tokens.
        wrong: share of the tokens that are kept and implausible to the target.
        kept_beta: mean rejection probability of the kept; NaN where none is.
    """

    tokens_per_second: float
    bytes_up: float
    bytes_down: float
    passes: float
    rows: float
    kept: float
    wrong: float
    kept_beta: float


class _Sums(NamedTuple):
    """Of one text."""

    seconds: float
    bits_up: float = 0.0
    bits_down: float = 0.0
    passes: float = 0.0
    rows: float = 0.0
    kept: float = 0.0
    wrong: float = 0.0
    beta: float = 0.0


def texts_of(profile: Profile, limit: int | None = None) -> list[Text]:
    """The profile's texts; `limit` takes as many, spread evenly.

    Raises:
        ConfigurationError: the profile holds none.
    """
    positions, fitted = profile.positions, profile.scores
    if not positions.lengths:
        raise ConfigurationError(
            "the profile holds no positions to replay, as an older one; make it anew with `cuhlm calibrate`"
        )
    score = [fitted[Wrong.PLAUSIBLE].score.predict(each.features()) for each in positions.signals()]
    ends = list(accumulate(positions.lengths, initial=0))
    texts = [_text(positions, score, begin, end) for begin, end in pairwise(ends)]
    if limit is None or limit >= len(texts):
        return texts
    return [texts[number * len(texts) // limit] for number in range(limit)]


def _text(positions: Positions, score: Sequence[float], begin: int, end: int) -> Text:
    part = slice(begin, end)
    gaps = [None if math.isnan(gap) else gap for gap in positions.gap[part]]
    return Text(
        positions.u[part], gaps, score[part], positions.plausible[part], positions.beta[part], positions.agrees[part]
    )


def expected(
    profile: Profile, channel: Channel, costs: Costs, risk: float, texts: Sequence[Text], names: Sequence[str]
) -> dict[str, Expected]:
    """What to expect of the methods called `names`.

    Args:
        profile: of the pair.
        channel: rates and round trip.
        costs: what computing takes.
        risk: the budget of `opportunistic`.
        texts: to replay.
        names: of methods.
    """
    return {name: _mean(_replays(name, profile, channel, costs, risk)(texts), texts) for name in names}


def method_names() -> list[str]:
    """Of all methods, in the order of their table."""
    return list(METHODS)


def best(found: dict[str, Expected], names: Sequence[str]) -> str:
    """The fastest of `names`; a later one only if it is faster by more than a tie."""
    winner = names[0]
    for name in names[1:]:
        if found[name].tokens_per_second > TIE * found[winner].tokens_per_second:
            winner = name
    return winner


_Replays = Callable[[Sequence[Text]], list[_Sums]]


def _replays(name: str, profile: Profile, channel: Channel, costs: Costs, risk: float) -> _Replays:
    if name == REMOTE:
        return lambda texts: [_remote(text, channel, costs) for text in texts]
    if name == LOSSLESS:
        return lambda texts: [_lossless(text, channel, costs) for text in texts]
    if name == OPPORTUNISTIC:
        settings = settings_for(find_method(name), profile, risk=risk)
        if settings.risk is None:
            return lambda texts: [_lossless(text, channel, costs) for text in texts]
        budget = settings.risk
        return lambda texts: _opportunistic(texts, channel, costs, budget)
    if name == SPLIT:
        return lambda texts: [_split(text, channel, costs, profile.vocab_size) for text in texts]
    settings = settings_for(find_method(name), profile)
    return lambda texts: [_one_by_one(text, settings, profile, channel, costs) for text in texts]


def _mean(sums: Sequence[_Sums], texts: Sequence[Text]) -> Expected:
    tokens = sum(len(text.u) for text in texts)
    seconds, bits_up, bits_down, passes, rows, kept, wrong, beta = (sum(column) for column in zip(*sums, strict=True))
    return Expected(
        tokens_per_second=tokens / seconds if seconds > 0 else math.inf,
        bytes_up=bits_up / 8 / tokens,
        bytes_down=bits_down / 8 / tokens,
        passes=passes / tokens,
        rows=rows / tokens,
        kept=kept / tokens,
        wrong=wrong / tokens,
        kept_beta=beta / kept if kept else math.nan,
    )


def _remote(text: Text, channel: Channel, costs: Costs) -> _Sums:
    tokens = len(text.u)
    timeline = replay_remote(tokens, channel, costs)
    return _Sums(timeline.seconds, CHUNK_BITS, tokens * VERDICT_BITS, tokens, tokens)


def _lossless(text: Text, channel: Channel, costs: Costs) -> _Sums:
    timeline = replay(text.agrees, channel, costs, text.gap)
    passes = len(timeline.passes)
    return _Sums(timeline.seconds, timeline.bits_up, passes * VERDICT_BITS, passes, timeline.rows)


def _opportunistic(texts: Sequence[Text], channel: Channel, costs: Costs, risk: RiskSettings) -> list[_Sums]:
    control, sums = RiskControl(risk.budget), []
    for text in texts:
        wrong = [float(plausible < PLAUSIBLE) for plausible in text.plausible]
        foreseen = list(map(Foreseen, text.score, text.gap, text.agrees, wrong))
        done = replay_kept(foreseen, channel, costs, risk, control)
        sums.append(_Sums(done.seconds, done.bits_up, done.bits_down, done.passes, done.rows, done.kept, done.wrong))
    return sums


def _one_by_one(text: Text, settings: Settings, profile: Profile, channel: Channel, costs: Costs) -> _Sums:
    """A method that asks for one token at a time, or for none."""
    kept = [_keeps(settings, u, position) for position, u in enumerate(text.u)]
    asked = len(kept) - sum(kept)
    bits = _payload_bits(settings, profile)
    now = 0.0
    for position, keeps in enumerate(kept):
        now += costs.draft_seconds
        if not keeps:
            now += channel.rate.uplink_seconds(bits, now, position) + channel.round_trip_seconds
            now += costs.target.seconds(0)
    wrong = sum(keeps and plausible < PLAUSIBLE for keeps, plausible in zip(kept, text.plausible, strict=True))
    beta = sum(beta for keeps, beta in zip(kept, text.beta, strict=True) if keeps)
    up = asked * (CHUNK_BITS + bits)
    return _Sums(now, up, asked * VERDICT_BITS, asked, asked, sum(kept), wrong, beta)


def _keeps(settings: Settings, u: float, position: int) -> bool:
    match settings.method.gate:
        case GateRule.UNCERTAIN:
            return u <= settings.threshold
        case GateRule.RANDOM:
            return uniform(_SEED, position, Purpose.GATE) >= settings.transmit_rate
        case _:
            return settings.method.gate is GateRule.NEVER


def _payload_bits(settings: Settings, profile: Profile) -> int:
    """Of a draft's distribution; k*(t) of the online rule is taken as the profile's k*."""
    vocab_size = profile.vocab_size
    match settings.method.truncation:
        case TruncationRule.NONE:
            return 0
        case TruncationRule.FULL:
            return codec_of(settings).bits(vocab_size, vocab_size)
        case _:
            return codec_of(settings).bits(min(settings.k, vocab_size), vocab_size)


def _split(text: Text, channel: Channel, costs: Costs, vocab_size: int) -> _Sums:
    """Blocks, with y's largest entries coming down where a draft falls."""
    now, at, sums = 0.0, 0, _Sums(0.0)
    law = _SPLIT_LAW_ENTRIES * (8 + max(1, vocab_size - 1).bit_length())
    rate = channel.downlink_bits_per_second
    while at < len(text.u):
        drafts = min(SPLIT_BLOCK, len(text.u) - at)
        fell = next((n for n in range(drafts) if uniform(_SEED, at + n, Purpose.ACCEPT) < text.beta[at + n]), drafts)
        bits_up = CHUNK_BITS + drafts * (DRAFT_BITS + PROBABILITY_BITS)
        bits_down = VERDICT_BITS + (law if fell < drafts else 0)
        now += drafts * costs.draft_seconds
        now += channel.rate.uplink_seconds(bits_up, now, at) + channel.round_trip_seconds
        now += costs.target.seconds(drafts) + (bits_down / rate if rate else 0.0)
        at += fell + 1
        sums = sums._replace(
            bits_up=sums.bits_up + bits_up,
            bits_down=sums.bits_down + bits_down,
            passes=sums.passes + 1,
            rows=sums.rows + drafts + 1,
        )
    return sums._replace(seconds=now)


class Cell(NamedTuple):
    """One place of the map.

    Attributes:
        round_trip_ms: of the link.
        ratio: of a draft's time to a pass of the target.
        winner: the method to take.
        gain: its tokens a second over `remote`'s.
    """

    round_trip_ms: float
    ratio: float
    winner: str
    gain: float


ROUND_TRIPS_MS = (1.0, 2.0, 5.0, 10.0, 20.0, 35.0, 50.0, 75.0, 100.0, 150.0, 200.0, 400.0, 1000.0)
RATIOS = (2.0, 1.0, 0.7, 0.5, 0.35, 0.25, 0.15, 0.1, 0.05, 0.02)
MAP_TEXTS = 8


def draw_map(profile: Profile, channel: Channel, costs: Costs, risk: float) -> Iterator[Cell]:
    """Who wins where, row by row: round trips from left to right, ratios from the top.

    The target's times and the link's rates are those given; round trip and draft vary. Without a risk only exact
    methods take part: `split`, with the largest of y alone, is none.
    """
    texts = texts_of(profile, MAP_TEXTS)
    names = [name for name in MAP_METHODS if risk > 0 or name in EXACT_METHODS]
    for ratio in RATIOS:
        for round_trip in ROUND_TRIPS_MS:
            there = replace(channel, round_trip_seconds=round_trip / 1000)
            drafting = replace(costs, draft_seconds=ratio * costs.target.alone)
            found = expected(profile, there, drafting, risk, texts, names)
            winner = best(found, names)
            gain = found[winner].tokens_per_second / found[REMOTE].tokens_per_second
            yield Cell(round_trip, ratio, winner, gain)


def costs_of_table(table: ComputeTable) -> tuple[float, float, float]:
    """Seconds of a draft, of the target's pass, and of each further row, by a table.

    Raises:
        ConfigurationError: it names none.
    """
    if table.draft_seconds is None or table.target_seconds is None:
        raise ConfigurationError(
            f"the compute table {table.name!r} stands for the times of a run, and nothing is run; expected another, or "
            "all of --draft-ms, --target-ms and --row-ms"
        )
    row = table.target_seconds if table.target_row_seconds is None else table.target_row_seconds
    return table.draft_seconds + (table.arithmetic_seconds or 0.0), table.target_seconds, row


def costs_for(draft_seconds: float, target_seconds: float, row_seconds: float) -> Costs:
    """What computing takes.

    Raises:
        ConfigurationError: a time is no number of seconds, or the target takes none.
    """
    for name, value, least in (
        ("a draft's time", draft_seconds, 0.0),
        ("the target's time", target_seconds, 1e-6),
        ("a row's time", row_seconds, 0.0),
    ):
        if not least <= value < math.inf:
            raise ConfigurationError(f"{name} is {1000 * value:g} ms; expected a number of at least {1000 * least:g}")
    return Costs(draft_seconds, PassTime(target_seconds, row_seconds))
