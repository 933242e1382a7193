"""A timeline as a picture in text: who works when, and which drafts stand."""

from collections.abc import Iterable, Sequence

from rich.text import Text

from cuhlm.measuring.timeline import Timeline, Worthy

_DRAFT_STYLES = {Worthy.RIGHT: "green", Worthy.WRONG: "yellow", Worthy.DEAD: "red", Worthy.LATE: "dim"}
_UNDER_WAY = "dim cyan"
_ALONE, _WITH_DRAFTS = "white", "bold cyan"
_LABEL = 10

Span = tuple[float, float, str]


def timeline_picture(name: str, timeline: Timeline, *, until: float, width: int) -> list[Text]:
    """The first `until` seconds of an answer: one line each for device, uplink, target and what was delivered.

    Args:
        name: of the method.
        timeline: to draw.
        until: seconds that `width` columns show.
        width: of a line, its label included.
    """
    columns = width - _LABEL
    lines = []
    if timeline.drafts:
        lines.append(_line("device", ((a, b, _DRAFT_STYLES[worth]) for a, b, worth in timeline.drafts), until, columns))
        lines.append(_line("uplink", ((a, b, _UNDER_WAY) for a, b, _ in timeline.chunks), until, columns))
    passes = ((a, b, _WITH_DRAFTS if drafts else _ALONE) for a, b, drafts in timeline.passes)
    lines.append(_line("target", passes, until, columns))
    delivered = _delivered(timeline.delivered_at, until, columns)
    shown = sum(at <= until for at in timeline.delivered_at)
    return [Text(f"{name}: {shown} tokens in the first {until:g} s", "bold"), *lines, delivered]


def timeline_legend() -> Text:
    """What the colours mean."""
    parts = (
        ("■ draft that is right", "green"),
        ("■ wrong", "yellow"),
        ("■ dead behind it", "red"),
        ("■ too late", "dim"),
        ("■ chunk under way", _UNDER_WAY),
        ("■ target alone", _ALONE),
        ("■ over drafts", _WITH_DRAFTS),
    )
    return Text("  ").join(Text(*part) for part in parts)


def _line(label: str, spans: Iterable[Span], until: float, columns: int) -> Text:
    """Spans as blocks; two that touch are told apart by a thinner last column."""
    cells: list[tuple[str, str]] = [("·", "bright_black")] * columns
    for begin, end, style in spans:
        first, last = (int(at / until * columns) for at in (begin, end))
        for at in range(first, min(max(last, first + 1), columns)):
            cells[at] = ("▌" if at == last - 1 and last - first > 1 else "█", style)
    return Text.assemble(f"{label:<{_LABEL}}", *cells)


def _delivered(times: Sequence[float], until: float, columns: int) -> Text:
    """How many tokens were delivered in each column."""
    counts = [0] * columns
    for at in times:
        if at < until:
            counts[int(at / until * columns)] += 1
    cells = [(("·", "bright_black") if not count else (str(min(count, 9)), "bold")) for count in counts]
    return Text.assemble(f"{'tokens':<{_LABEL}}", *cells)
