"""Reads the TOML file of an experiment, and checks it before anything runs."""

from collections import Counter
from collections.abc import Sequence
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


def _written_at(walk: Walk | None, temperatures: tuple[float, ...]) -> Walk | None:
    return walk and replace(walk, temperatures=walk.temperatures or temperatures)


def _check(spec: Spec, where: str) -> None:
    """What one part of a spec says of another.

    Raises:
        ConfigurationError: a name is unknown, or a headline point is not run.
    """
    for name in spec.prompts:
        check_component(name, f"a prompt set of {where}")  # folders are called after it
    walks = [walk.prompts for walk in (spec.walk, spec.long_walk) if walk]
    for name in (*(name for part in spec.grid for name in part.prompts), spec.calibration.prompts, *walks):
        if name not in spec.prompts:
            raise ConfigurationError(
                f"{where}: the prompt set {name!r} is unknown; expected one of {', '.join(spec.prompts)}"
            )
    _check_room(spec, where)
    _check_once(spec, where)
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


def _check_room(spec: Spec, where: str) -> None:
    parts = [(f"grid[{number}]", part.max_tokens) for number, part in enumerate(spec.grid)]
    walks = [(name, walk.max_tokens) for name, walk in (("walk", spec.walk), ("long_walk", spec.long_walk)) if walk]
    for name, tokens in (*parts, *walks, ("calibration", spec.calibration.max_tokens)):
        if tokens >= spec.context:
            raise ConfigurationError(
                f"{where}: {name}.max_tokens is {tokens}, and a sequence holds {spec.context} tokens with the prompt; "
                "expected fewer, or a larger context"
            )


def _check_once(spec: Spec, where: str) -> None:
    """Refuse what is asked for twice: it would count twice in nothing, and was meant to be something else."""
    axes: list[tuple[str, Sequence[object]]] = [
        ("billing.channels", spec.billing.channels),
        ("billing.compute", spec.billing.compute),
        ("billing.sweep.snr_db", spec.billing.sweep.snr_db),
    ]
    for number, part in enumerate(spec.grid):
        axes += [(f"grid[{number}].{name}", getattr(part, name)) for name in ("prompts", "temperatures", "seeds")]
        axes.append((f"grid[{number}].methods", [choice.label for choice in part.choices]))
    for name, values in axes:
        twice = [value for value, times in Counter(values).items() if times > 1]
        if twice:
            raise ConfigurationError(f"{where}: {name} has {twice[0]!r} twice; expected each once; leave one out")


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
