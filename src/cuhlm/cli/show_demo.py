"""Prints the demo: answers coloured by fate, then one table; or one JSON object."""

import io
import json
import math
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from cuhlm.cli.progress import ShownProgress, shown_progress
from cuhlm.cli.show_answer import coloured, legend
from cuhlm.cli.show_timeline import timeline_legend, timeline_picture
from cuhlm.cli.terminal import fitting
from cuhlm.device.device import Device
from cuhlm.device.steps import Emit
from cuhlm.engines.cores import usable_cores
from cuhlm.engines.llama_cpp import LlamaCppEngine
from cuhlm.engines.load import load_engine
from cuhlm.engines.locate import locate
from cuhlm.experiments.demo import PROMPTS, Conditions, MethodResult, Streaming, run_demo, stream_demo
from cuhlm.link.grpc import GrpcLink, Security
from cuhlm.methods import METHODS
from cuhlm.pair import find_profile
from cuhlm.records import json_values
from cuhlm.settings import Settings, threshold_meaning
from cuhlm.verifier.process import verifier_process
from cuhlm.writable import check_writable, write_whole

DRAFT, TARGET = "smollm2-draft", "smollm2-135m"
CONTEXT = 512
WIDTH = 132


def compare(conditions: Conditions, *, as_json: bool, svg: Path | None) -> None:
    """Run the demo and print it.

    Raises:
        CuhlmError: the pair cannot be loaded, or the verifier process does not start.
    """
    if svg is not None:
        check_writable(svg, "the picture")
    locate(TARGET)  # before the verifier's process finds that it is not installed
    shown = _Shown(stderr=as_json, record=svg is not None)
    threads = max(1, usable_cores() // 2)  # device and verifier share this machine: each gets its half (design 3)
    with ExitStack() as stack:
        progress = stack.enter_context(shown_progress(shown.console))
        progress.begins("loading the models")
        verifier = stack.enter_context(verifier_process(TARGET, context=CONTEXT, threads=threads))
        draft, target = (stack.enter_context(_engine(model, threads)) for model in (DRAFT, TARGET))
        link = stack.enter_context(GrpcLink(verifier.address, security=Security(verifier.token)))
        device = Device(draft, link)
        begin = Text.assemble(f"draft {DRAFT}, verifier process for {TARGET} at {verifier.address}\n", legend())
        shown.print(lambda _: begin)
        streaming = stream_demo(device, conditions)
        shown.print(lambda width: _shown_streaming(streaming, width))
        profile = find_profile(None, draft.card, device.target)
        results = run_demo(device, target, profile, conditions, _ShownDemo(shown, progress))
    if as_json:
        print(json.dumps(json_values(_as_json(results, conditions, streaming, device.vocab_size)), indent=1))
    else:
        title, notes = _title(results, conditions), _notes(conditions)
        shown.print(lambda width: _table(results, title, width))
        shown.print(lambda _: notes)
    if svg is not None:
        write_whole(svg, shown.picture, "the picture")


class _Shown:
    """The output, as wide as the terminal; recorded beside it for a picture, which is as wide on every terminal."""

    def __init__(self, *, stderr: bool, record: bool) -> None:
        self.console = Console(highlight=False, stderr=stderr)
        self.console.width = min(WIDTH, self.console.width) if self.console.is_terminal else WIDTH
        self._recorder = Console(highlight=False, record=True, width=WIDTH, file=io.StringIO()) if record else None

    def print(self, made: Callable[[int], RenderableType]) -> None:
        """Print what `made` makes of a width."""
        for console in filter(None, (self.console, self._recorder)):
            console.print(made(console.width))

    @property
    def picture(self) -> str:
        """All of it as an SVG that fetches nothing: rich's names web fonts, a reader's own will do."""
        assert self._recorder is not None
        svg = self._recorder.export_svg(title="cuhlm demo")
        return re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)


def _title(results: Mapping[str, MethodResult], conditions: Conditions) -> str:
    tokens = sum(len(result.records) for result in results.values())
    return (
        f"{len(PROMPTS)} prompts, {tokens} tokens in all, T = {conditions.sampling.temperature:g}, "
        f"channel {conditions.channel.name}, compute {conditions.compute.name}"
    )


def _notes(conditions: Conditions) -> Text:
    """What the columns mean, where a heading cannot say it."""
    exact = (
        "At T = 0 hlm gives remote's tokens exactly."
        if conditions.sampling.temperature == 0
        else "Sampled answers part from remote's at the first different draw, also those of exact methods: look at TV."
    )
    return Text(
        "simulated: draft + uplink + round trip + target, billed from the trace. "
        "wall: on this machine over loopback gRPC, prompt included; draft and target share its cores and memory, "
        "where lossless tries whether drafting pays. "
        "uplink: the paper's payload. socket up: counted by the kernel. "
        f"TV: mean distance of the method's token law from the target's, along its answers. {exact}",
        "dim",
    )


def _shown_streaming(streaming: Streaming, width: int) -> Text:
    """Who works when, with and without drafts."""
    numbers, trip = streaming.as_json(), 1000 * streaming.channel.round_trip_seconds
    lines = [
        Text.assemble(
            ("\nremote against lossless", "bold"),
            f", the same text: {numbers['tokens_per_s_remote']:.1f} and {numbers['tokens_per_s_lossless']:.1f} tokens/s"
            f", simulated over {numbers['channel']} (round trip {trip:g} ms), computing {numbers['compute']}",
        ),
        timeline_legend(),
    ]
    for name, timeline in (("remote", streaming.remote), ("lossless", streaming.lossless)):
        lines += timeline_picture(name, timeline, until=1.0, width=width)
    return Text("\n").join(lines)


def _as_json(
    results: Mapping[str, MethodResult], conditions: Conditions, streaming: Streaming, vocab_size: int
) -> dict[str, Any]:
    return {
        "pair": {"draft": DRAFT, "target": TARGET, "vocab_size": vocab_size},
        "channel": {"name": conditions.channel.name, "round_trip_seconds": conditions.channel.round_trip_seconds},
        "compute": conditions.compute.name,
        "temperature": conditions.sampling.temperature,
        "threshold": results["u-hlm"].settings.threshold,
        "streaming": streaming.as_json(),
        "methods": {name: result.as_json() for name, result in results.items()},
    }


class _ShownDemo:
    """Prints answers as they are done."""

    def __init__(self, shown: _Shown, progress: ShownProgress) -> None:
        self._shown, self._progress = shown, progress
        progress.begins("decoding", len(METHODS) * len(PROMPTS))

    def method_begins(self, settings: Settings) -> None:
        method = settings.method
        self._progress.says(method.name)
        self._shown.print(lambda _: Text.assemble("\n", (f"{method.name}", "bold"), (f"  {method.summary}", "dim")))
        if meaning := threshold_meaning(settings):
            self._shown.print(lambda _: Text(f"  note: {meaning}", "yellow"))

    def answer_is_done(self, prompt: str, answer: Sequence[Emit]) -> None:
        text = Text(overflow="fold").append(f"{prompt}  ", "dim").append_text(coloured(answer))
        self._shown.print(lambda _: text)
        self._progress.advances()


@contextmanager
def _engine(model: str, threads: int) -> Generator[LlamaCppEngine, None, None]:
    with load_engine(model, context_length=CONTEXT, threads=threads) as engine:
        yield engine


COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("tokens/s\nsimulated", "tokens_per_s_simulated", "{:.2f}"),
    ("tokens/s\nwall", "tokens_per_s_wall", "{:.1f}"),
    ("trans-\nmitted", "transmitted_share", "{:.0%}"),
    ("mean k", "mean_k", "{:.0f}"),
    ("vocab.\nleft out", "vocabulary_compression", "{:.1%}"),
    ("uplink\nB/token", "uplink_bytes_per_token", "{:.0f}"),
    ("socket up\nB/token", "wire_bytes_per_token", "{:.0f}"),
    ("target\npasses", "target_passes_per_token", "{:.2f}"),
    ("accep-\ntance", "acceptance", "{:.0%}"),
    ("TV from\ntarget", "mean_tv", "{:.3f}"),
    ("as\nremote", "agreement_with_remote", "{:.0%}"),
)
DROPPED = (
    "vocabulary_compression",
    "mean_k",
    "acceptance",
    "wire_bytes_per_token",
    "agreement_with_remote",
    "tokens_per_s_wall",
    "target_passes_per_token",
    "uplink_bytes_per_token",
    "transmitted_share",
)
"""Columns that a narrow terminal does without, the first ones first; `--json` has them all."""


def _table(results: Mapping[str, MethodResult], title: str, width: int) -> Table:
    """As many of the columns as fit into `width`."""
    numbers = {name: result.as_json() for name, result in results.items()}

    def table(keys: Sequence[str]) -> Table:
        columns = [column for column in COLUMNS if column[1] in keys]
        made = Table(title=title, title_justify="left", header_style="bold")
        made.add_column("method", no_wrap=True)
        for heading, _, _ in columns:
            made.add_column(heading, justify="right", no_wrap=True)
        for name, values in numbers.items():
            made.add_row(name, *[_shown_number(values[key], form) for _, key, form in columns])
        return made

    return fitting(table, [key for _, key, _ in COLUMNS], DROPPED, width)


def _shown_number(value: float, form: str) -> str:
    return "–" if math.isnan(value) else form.format(value)
