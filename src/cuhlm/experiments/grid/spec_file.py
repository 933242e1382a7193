"""Reads the TOML file of an experiment, and checks it before anything runs."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from cuhlm.channel.compute import MEASURED
from cuhlm.errors import ConfigurationError
from cuhlm.experiments.grid.spec import Spec, Walk
from cuhlm.messages import Sampling
from cuhlm.readable import converted, read_toml
from cuhlm.writable import check_component


def read_spec(path: Path) -> Spec:
    """The experiment that the TOML file `path` describes; files in it are relative to it.

    Raises:
        ConfigurationError: the file cannot be read or is no TOML, or a value in it is unknown or unusable.
    """
    spec = converted(read_toml(path, "the spec"), Spec, str(path))
    temperatures = spec.grid[0].temperatures
    spec = replace(
        spec,
        prompts={name: replace(each, file=path.parent / each.file) for name, each in spec.prompts.items()},
        walk=_written_at(spec.walk, temperatures),
        long_walk=_written_at(spec.long_walk, temperatures[:1]),
    )
    check_spec(spec, str(path))
    return spec


def with_prompt_file(spec: Spec, name: str, file: Path) -> Spec:
    """`spec` with another file for the prompt set `name`.

    Raises:
        ConfigurationError: there is no such set.
    """
    if name not in spec.prompts:
        raise ConfigurationError(f"the spec has no prompt set {name!r}; expected one of {', '.join(spec.prompts)}")
    return replace(spec, prompts=spec.prompts | {name: replace(spec.prompts[name], file=file)})


def _written_at(walk: Walk | None, temperatures: tuple[float, ...]) -> Walk | None:
    return walk and replace(walk, temperatures=walk.temperatures or temperatures)


def check_spec(spec: Spec, where: str) -> None:
    """What one part of a spec says of another.

    Args:
        spec: to check.
        where: names it in errors.

    Raises:
        ConfigurationError: a name is unknown, something is asked for twice, answers do not fit into the context, or a
            headline point is not run.
    """
    _check_repetitions(spec, where)
    for part, max_tokens in _longest_texts(spec):
        if max_tokens >= spec.context:
            raise ConfigurationError(
                f"{where}: {part}.max_tokens is {max_tokens}, and the context holds {spec.context} tokens, the prompt "
                "included; expected fewer; give fewer, or a larger context"
            )
    for name in spec.prompts:
        check_component(name, f"a prompt set of {where}")  # folders are called after it
    walks = [walk.prompts for walk in (spec.walk, spec.long_walk) if walk]
    for name in (*(name for part in spec.grid for name in part.prompts), spec.calibration.prompts, *walks):
        if name not in spec.prompts:
            raise ConfigurationError(
                f"{where}: the prompt set {name!r} is unknown; expected one of {', '.join(spec.prompts)}"
            )
    spec.billing.all_channels()
    spec.billing.all_compute()
    for temperature in (*spec.temperatures, *spec.calibration_temperatures):
        Sampling(temperature)
    if MEASURED.name in spec.billing.compute and any(part.shares_prefixes for part in spec.grid):
        raise ConfigurationError(
            f"{where}: billing.compute has {MEASURED.name!r}, but a part of the grid shares prefixes and its forward "
            "passes have no times of their own; expected another table, or shares_prefixes = false"
        )
    _check_headline(spec, where)


def _longest_texts(spec: Spec) -> Iterator[tuple[str, int]]:
    """Every part of a spec that has texts written, and how long they may be."""
    yield "calibration", spec.calibration.max_tokens
    yield from ((f"grid[{number}]", part.max_tokens) for number, part in enumerate(spec.grid))
    yield from ((name, walk.max_tokens) for name, walk in (("walk", spec.walk), ("long_walk", spec.long_walk)) if walk)


def _check_repetitions(spec: Spec, where: str) -> None:
    """What is asked for twice would be decoded once and counted twice."""
    lists: list[tuple[str, Sequence[object]]] = [
        (f"grid[{number}].{name}", values)
        for number, part in enumerate(spec.grid)
        for name, values in (
            ("methods", [choice.label for choice in part.choices]),
            ("prompts", part.prompts),
            ("temperatures", part.temperatures),
            ("seeds", part.seeds),
        )
    ]
    lists += [("billing.compute", spec.billing.compute), ("billing.sweep.snr_db", spec.billing.sweep.snr_db)]
    for name, values in lists:
        for number, value in enumerate(values):
            if value in values[:number]:
                raise ConfigurationError(f"{where}: {name} has {value!r} twice; expected each once; leave one out")


def _check_headline(spec: Spec, where: str) -> None:
    headline, first = spec.headline, spec.grid[0]
    if headline is None:
        return
    for name, values, run in (
        ("temperature", (headline.temperature,), first.temperatures),
        ("snr_db", headline.snr_db, spec.billing.sweep.snr_db),
        ("compute", (headline.compute,), spec.billing.compute),
        ("thresholds", headline.thresholds, [choice.threshold for choice in first.choices if choice.is_gated]),
    ):
        for value in values:
            if value not in run:
                raise ConfigurationError(
                    f"{where}: headline: {name} has {value!r}, which the grid does not run; "
                    f"expected one of {', '.join(map(str, dict.fromkeys(run)))}"
                )
