"""Prints an answer while it is generated, its tokens coloured by fate."""

import math
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing, nullcontext
from pathlib import Path

from rich.console import Console
from rich.text import Text

from cuhlm.cli.progress import Pace, ShownProgress, shown_progress
from cuhlm.cli.terminal import print_answer, visible
from cuhlm.device.device import Device, Request
from cuhlm.device.keeping import Keeping, RiskReport
from cuhlm.device.steps import Drafted, Emit, Finish, Reading
from cuhlm.errors import CuhlmError
from cuhlm.measuring.summary import Summary, summarise
from cuhlm.messages import Fate
from cuhlm.records import TokenRecord, trace_file
from cuhlm.settings import Settings, threshold_meaning

FATE_STYLES = {
    Fate.SKIPPED: "green",
    Fate.ACCEPTED: "cyan",
    Fate.RESAMPLED: "bold yellow",
    Fate.BONUS: "blue",
    Fate.LOCAL: "magenta",
    Fate.TARGET: "white",
}


def legend() -> Text:
    """What the colours mean."""
    return Text.assemble(*[part for fate in Fate for part in ((f"■ {fate}", FATE_STYLES[fate]), "  ")])


def coloured(emits: Sequence[Emit]) -> Text:
    """An answer as one paragraph, its tokens coloured by fate and its line ends shown as ↵."""
    return Text.assemble(*[(visible(emit.text).replace("\n", "↵"), FATE_STYLES[emit.record.fate]) for emit in emits])


def stream_answer(
    device: Device,
    settings: Settings,
    request: Request,
    *,
    keeping: Keeping | None = None,
    notes: Sequence[str],
    trace: Path | None,
    fates: bool,
) -> None:
    """Print the answer as it comes, then what it cost; `notes` and what the threshold means come before it.

    Whatever ends the generation, the tokens so far are printed and in the trace.

    Raises:
        CuhlmError: whatever ended the generation early.
    """
    console = Console(highlight=False, soft_wrap=True)
    aside = Console(stderr=True, highlight=False)
    for note in filter(None, (*notes, threshold_meaning(settings))):
        aside.print(Text.assemble(("note: ", "yellow"), visible(note)))
    records: list[TokenRecord] = []
    finishes: list[Finish] = []
    started = time.perf_counter()
    with (
        trace_file(trace) if trace else nullcontext(_not_kept) as keep,
        closing(_ShownReading(console, len(request.prompt))) as reading,
        closing(
            _shown(device.generate(settings, request, reading, keeping=keeping), console, finishes.append)
        ) as emits,
    ):
        for emit in emits:
            reading.close()
            print_answer(console, emit.text, FATE_STYLES[emit.record.fate] if fates else "")
            keep(emit.record)
            records.append(emit.record)
    if fates:
        seconds = time.perf_counter() - started
        summary = summarise(records, device.vocab_size)
        aside.print(legend())
        aside.print(
            f"[dim]{settings.method.name} at {request.sampling}: {len(records)} tokens in {seconds:.1f} s, prompt "
            f"included; {_asked(settings, summary, finishes)}{_on_the_socket(summary)}[/]"
        )
        for report in (finish.risk for finish in finishes if finish.risk is not None):
            aside.print(f"[dim]{risk_taken(report)}[/]")


def risk_taken(report: RiskReport) -> str:
    """What was risked, in a few lines."""
    audited = f"{report.audited} of {report.kept} kept tokens audited, {_count(report.wrong)} wrong"
    shares = f"{_percent(report.wrong_per_produced)} of all, {_percent(report.wrong_per_kept)} of the kept"
    lines = [
        f"risk: {_percent(report.kept_share)} of {report.produced} tokens kept; {audited} ({shares}; wrong means "
        f"{report.wrong_means})",
        f"budget: {_percent(report.risk)} of all and {report.slack:.0f} tokens; certified at "
        f"{_percent(1 - report.delta)}: a mean chance of at most {_percent(report.certified)} to be wrong",
    ]
    if (outages := report.outages).kept:
        lines.append(
            f"in outages: {outages.kept} tokens kept beside the budget, {outages.judged} judged since, "
            f"{_count(outages.wrong)} wrong"
        )
    return "\n".join(lines)


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{100 * share:.3g} %"


def _count(wrong: float) -> str:
    return f"{wrong:.4g}"


def _shown(
    generation: Generator[Emit, None, Finish], console: Console, ended: Callable[[Finish], None]
) -> Generator[Emit, None, None]:
    """The tokens of an answer; text that was held back until its end, or until an error, is printed here.

    However it ends, what was printed ends with its line.
    """
    printed, rest = False, ""
    try:
        while True:
            emit = next(generation)
            printed |= bool(emit.text)
            yield emit
    except StopIteration as end:
        printed, rest = True, end.value.text
        ended(end.value)
    except CuhlmError as error:
        rest = error.held_back
        raise
    finally:
        if printed or rest:
            print_answer(console, rest + "\n", "")


class _ShownReading:
    """A listener that shows how far a long prompt is read, until it is closed."""

    def __init__(self, console: Console, prompt_tokens: int) -> None:
        self._console = console
        self._pace = Pace("reading the prompt", prompt_tokens)
        self._heard = 0
        self._shown: ShownProgress | None = None
        self._open = ExitStack()

    def __call__(self, news: Drafted | Reading) -> None:
        self._heard += isinstance(news, Reading)
        if isinstance(news, Reading) and self._heard > 1:  # what is read by then did not take long
            self._shown = self._shown or self._open.enter_context(shown_progress(self._console))
            self._pace.done = news.tokens
            self._shown.shows(self._pace)

    def close(self) -> None:
        """The first token is there."""
        self._open.close()


def _not_kept(_record: TokenRecord) -> None:
    """Where no trace is asked for."""


def _asked(settings: Settings, summary: Summary, finishes: Sequence[Finish]) -> str:
    if settings.method.streams:
        tail = sum(finish.risk.tail_passes for finish in finishes if finish.risk is not None)
        return f"{summary.target_passes_per_token + tail / max(1, summary.tokens):.2f} target passes a token"
    return f"{summary.transmitted_share:.0%} transmitted"


def _on_the_socket(summary: Summary) -> str:
    if math.isnan(summary.wire_bytes_per_token):
        return ""
    return f", {summary.wire_bytes_per_token:.0f} bytes up and {summary.wire_bytes_down_per_token:.0f} down per token"
