"""Reads the TOML file of an experiment, and checks it before anything runs."""

import tomllib
from dataclasses import replace
from itertools import product
from pathlib import Path

from cuhlm.channel.compute import MEASURED
from cuhlm.channel.presets import find_channel
from cuhlm.errors import ConfigurationError
from cuhlm.experiments.grid.spec import (
    Calibration,
    Headline,
    MethodChoice,
    Part,
    PromptSet,
    Spec,
    Sweep,
    Walk,
)
from cuhlm.experiments.grid.toml_table import Table
from cuhlm.messages import Sampling
from cuhlm.methods import DraftFrom, find_method
from cuhlm.settings import RISK_AVERSE, RISK_PRONE

MAX_SEED = 2**32


def read_spec(path: Path) -> Spec:
    """The experiment that the TOML file `path` describes; files in it are relative to it.

    Raises:
        ConfigurationError: the file cannot be read or is no TOML, or a value in it is unknown or unusable.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"the spec {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the spec {path} is no TOML: {error}") from error
    spec = _spec(Table(str(path), values), path.parent)
    _check(spec, str(path))
    return spec


def with_prompt_file(spec: Spec, name: str, file: Path) -> Spec:
    """`spec` with another file for the prompt set `name`.

    Raises:
        ConfigurationError: there is no such set.
    """
    if name not in spec.prompts:
        raise ConfigurationError(f"the spec has no prompt set {name!r}; expected one of {', '.join(spec.prompts)}")
    return replace(spec, prompts=spec.prompts | {name: replace(spec.prompts[name], file=file)})


def _spec(top: Table, folder: Path) -> Spec:
    grid = tuple(map(_part, top.tables("grid")))
    billing = _needed(top, "billing")
    spec = Spec(
        title=top.text("title"),
        draft=top.text("draft"),
        target=top.text("target"),
        context=top.whole("context", 2048),
        prompts={name: _prompt_set(name, table, folder) for name, table in top.named_tables("prompts").items()},
        calibration=_calibration(_needed(top, "calibration")),
        grid=grid,
        channels=billing.texts("channels", ()),
        compute=billing.texts("compute", ("measured",)),
        sweep=_sweep(billing.table("sweep")),
        headline=_headline(top.table("headline")),
        walk=_walk(top.table("walk"), grid[0].temperatures),
        long_walk=_walk(top.table("long_walk"), grid[0].temperatures[:1]),
    )
    billing.finish()
    top.finish()
    return spec


def _part(table: Table) -> Part:
    part = Part(
        methods=tuple(choice for each in table.tables("methods") for choice in _methods(each)),
        prompts=table.texts("prompts"),
        temperatures=table.numbers("temperatures", at_least=0),
        seeds=table.wholes("seeds", (0,)),
        max_tokens=table.whole("max_tokens"),
        shares_prefixes=table.yes_or_no("shares_prefixes", False),
        measures_quality=table.yes_or_no("measures_quality", True),
    )
    table.finish()
    return part


def _needed(top: Table, key: str) -> Table:
    table = top.table(key)
    if table is None:
        raise ConfigurationError(f"{top.where} has no [{key}]; expected one")
    return table


def _prompt_set(name: str, table: Table, folder: Path) -> PromptSet:
    chosen = PromptSet(name, folder / table.text("file"), table.whole("limit", None), table.text("system", None))
    table.finish()
    return chosen


def _calibration(table: Table) -> Calibration:
    chosen = Calibration(
        table.text("prompts"),
        table.whole("max_tokens", 64),
        table.number("temperature", None, at_least=0),
        table.number("vartheta", 0.1, at_least=0),
    )
    table.finish()
    return chosen


def _methods(table: Table) -> list[MethodChoice]:
    """An entry of the list of methods: one choice for every combination of the numbers in it."""
    method = find_method(table.text("method"))
    thresholds = table.mixed("threshold", (0.0,))
    laws = [_law(table, name) for name in table.mixed("draft_from", (DraftFrom.X,))]
    varthetas = [_optional(table, "vartheta", value) for value in table.mixed("vartheta", ("profile",))]
    ks = [_optional(table, "k", value) for value in table.mixed("k", ("profile",))]
    widths = table.mixed("b_prob", (8.0,))
    table.finish()
    choices = [
        MethodChoice(method, threshold, law, vartheta, None if k is None else int(k), int(float(width)))
        for threshold, law, vartheta, k, width in product(thresholds, laws, varthetas, ks, widths)
    ]
    if not choices[0].is_gated and len(thresholds) > 1:
        raise ConfigurationError(f"{table.where}: {method.name} has no threshold; expected none")
    for choice in choices:
        _check_choice(table, choice)
    return choices


def _law(table: Table, name: str | float) -> DraftFrom:
    try:
        return DraftFrom(str(name))
    except ValueError:
        raise ConfigurationError(
            f"{table.where}: draft_from is {name!r}; expected one of {', '.join(DraftFrom)}"
        ) from None


def _optional(table: Table, key: str, value: str | float) -> float | None:
    if value == "profile":
        return None
    if isinstance(value, str) or value < 0:
        raise ConfigurationError(f'{table.where}: {key} is {value!r}; expected a number, 0 or more, or "profile"')
    return value


def _check_choice(table: Table, choice: MethodChoice) -> None:
    threshold = choice.threshold
    usable = threshold in (RISK_AVERSE, RISK_PRONE) if isinstance(threshold, str) else 0 <= threshold <= 1
    if not usable:
        raise ConfigurationError(
            f"{table.where}: threshold is {threshold!r}; expected {RISK_AVERSE}, {RISK_PRONE}, or a number from 0 to 1"
        )
    if not 4 <= choice.b_prob <= 16:
        raise ConfigurationError(f"{table.where}: b_prob is {choice.b_prob}; expected 4 to 16 (the paper uses 8)")
    if choice.k is not None and choice.k < 1:
        raise ConfigurationError(f"{table.where}: k is {choice.k}; expected 1 or more")


def _sweep(table: Table | None) -> Sweep:
    if table is None:
        return Sweep()
    chosen = Sweep(table.text("channel", "paper"), table.numbers("snr_db"), table.number("rtt_ms", 50.0, at_least=0))
    table.finish()
    return chosen


def _headline(table: Table | None) -> Headline | None:
    if table is None:
        return None
    chosen = Headline(
        table.mixed("thresholds"),
        table.number("temperature", at_least=0),
        table.numbers("snr_db"),
        table.text("compute"),
    )
    table.finish()
    return chosen


def _walk(table: Table | None, temperatures: tuple[float, ...]) -> Walk | None:
    if table is None:
        return None
    chosen = Walk(
        table.text("prompts"),
        table.whole("max_tokens"),
        table.numbers("temperatures", temperatures, at_least=0),
    )
    table.finish()
    return chosen


def _check(spec: Spec, where: str) -> None:
    """What one part of a spec says of another.

    Raises:
        ConfigurationError: a name is unknown, or a headline point is not run.
    """
    walks = [walk.prompts for walk in (spec.walk, spec.long_walk) if walk]
    for name in (*(name for part in spec.grid for name in part.prompts), spec.calibration.prompts, *walks):
        if name not in spec.prompts:
            raise ConfigurationError(
                f"{where}: the prompt set {name!r} is unknown; expected one of {', '.join(spec.prompts)}"
            )
    for name in (*spec.channels, *spec.sweep.names):
        find_channel(name)
    spec.all_compute()
    for temperature in spec.temperatures:
        Sampling(temperature)
    if (seed := max(seed for part in spec.grid for seed in part.seeds)) >= MAX_SEED:
        raise ConfigurationError(f"{where}: a seed is {seed}; expected less than {MAX_SEED}")
    if MEASURED.name in spec.compute and any(part.shares_prefixes for part in spec.grid):
        raise ConfigurationError(
            f"{where}: billing.compute has {MEASURED.name!r}, but a part of the grid shares prefixes and its forward "
            "passes have no times of their own; expected another table, or shares_prefixes = false"
        )
    _check_headline(spec, where)


def _check_headline(spec: Spec, where: str) -> None:
    headline = spec.headline
    if headline is None:
        return
    first = spec.grid[0]
    for name, values, run in (
        ("temperature", (headline.temperature,), first.temperatures),
        ("snr_db", headline.snr_db, spec.sweep.snr_db),
        ("compute", (headline.compute,), spec.compute),
        ("thresholds", headline.thresholds, [choice.threshold for choice in first.methods if choice.is_gated]),
    ):
        for value in values:
            if value not in run:
                raise ConfigurationError(
                    f"{where}: headline: {name} has {value!r}, which the grid does not run; "
                    f"expected one of {', '.join(map(str, dict.fromkeys(run)))}"
                )
