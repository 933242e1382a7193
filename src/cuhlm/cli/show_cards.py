"""Prints model cards, methods and profiles."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from cuhlm.channel.presets import CHANNELS, TRACE_ROUND_TRIP_SECONDS
from cuhlm.channel.rates import shown_rate
from cuhlm.cli.terminal import visible
from cuhlm.device.device import Device
from cuhlm.messages import ModelCard
from cuhlm.methods import METHODS
from cuhlm.profiles import Profile

NARROW = 60
"""Below, a table keeps the column that names its rows, and the one that says most."""


def print_methods() -> None:
    """The table of methods (design 2.7)."""
    console = Console()
    headings = ("method", "asks the\nverifier", "sends\nof x", "what it is")
    rows = [(each.name, str(each.gate), str(each.truncation), each.summary) for each in METHODS.values()]
    console.print(_table(headings, rows, wraps=3, width=console.width))


def print_channels() -> None:
    """The table of simulated channels (design 2.8), and what a command line can say of them."""
    console = Console(highlight=False)
    rows = [
        (
            channel.name,
            channel.rate.summary,
            "in no time" if (down := channel.downlink_bits_per_second) is None else shown_rate(down),
            _shown_milliseconds(channel.round_trip_seconds),
        )
        for channel in CHANNELS.values()
    ]
    rows.append(("trace:FILE.csv", "as recorded", "in no time", _shown_milliseconds(TRACE_ROUND_TRIP_SECONDS)))
    console.print(_table(("channel", "up", "down", "round trip"), rows, wraps=1, width=console.width))
    for channel in CHANNELS.values():
        console.print(f"[bold]{channel.name}[/bold]: {channel.source}.")
    console.print(_CHANNEL_NOTES)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, wraps: int, width: int) -> Table:
    """Rows under headings; only the column `wraps` may take several lines, and with the first it stays."""
    kept = (0, wraps) if width < NARROW else range(len(headings))
    table = Table(header_style="bold")
    for column in kept:
        table.add_column(headings[column], no_wrap=column != wraps)
    for row in rows:
        table.add_row(*[row[column] for column in kept])
    return table


_CHANNEL_NOTES = """[bold]trace:FILE.csv[/bold]: a CSV file with the columns seconds,uplink_mbps. Each rate holds \
until the next row; 0 is an outage. A payload is served at the rates of the intervals it spans. An answer begins at \
the first row; after the last interval the trace begins again.

What differs follows a colon (of a file, its last .csv): \
lte:rtt_ms=80:down_mbps=10, lte:mbps=2, paper:snr_db=0:rayleigh=0:bandwidth_hz=2e6:seed=1\
"""


def _shown_milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:g} ms"


def print_pair(device: Device, profile: Profile | None, *, as_json: bool) -> None:
    """Both model cards, how many tokens they share, and the profile."""
    cards = {"draft": device.draft.card, "target": device.target}
    if as_json:
        print(json.dumps(_as_json(cards, device.vocab_size, profile), indent=1))
        return
    console = Console(highlight=False, markup=False)  # names come from files and from verifiers
    console.print(_cards_table({role: card for role, card in cards.items() if card}))
    if device.target is not None:
        console.print(f"The two share a vocabulary of {device.vocab_size} tokens: they can work together.")
        for note in device.notes:
            console.print(f"Note: {visible(note)}.")
        console.print(profile_lines(profile) if profile else "No profile: `cuhlm calibrate` makes one for this pair.")


def profile_lines(profile: Profile) -> str:
    """A profile in two lines."""
    model, made = profile.rejection, profile.provenance
    return (
        f"Profile: E[β | u] = {model.a:.3f}·u {model.b:+.3f}, r = {model.pearson_r:.2f}, Δ = {profile.delta:.2f}; "
        f"risk-averse u_th = {profile.risk_averse:.3f}, risk-prone {profile.risk_prone:.3f}, k* = {profile.k_star}\n"
        f"         from {made.n_tokens} tokens of {made.n_prompts} prompts ({made.prompts}) "
        f"at {made.sampling}, {made.date}"
    )


def _cards_table(cards: dict[str, ModelCard]) -> Table:
    table = Table(header_style="bold")
    table.add_column("")
    for role in cards:
        table.add_column(role)
    for label, show in _CARD_ROWS:
        table.add_row(label, *[visible(show(card)) for card in cards.values()])
    return table


def _numerics(card: ModelCard) -> str:
    if card.batch_invariant:
        return "batch-invariant: exact to the bit"
    return "not batch-invariant: exact in law, a repeated request gets the stored verdict"


_CARD_ROWS = (
    ("name", lambda card: card.name),
    ("weights", lambda card: card.fingerprint[:12]),
    ("vocabulary", lambda card: f"{card.vocab_size} tokens, {card.vocab_fingerprint[:12]}"),
    ("context", lambda card: f"{card.context_length} tokens"),
    ("numerics", _numerics),
    ("spoken to", lambda card: "in its chat template" if card.chat.template else "as plain text: it has none"),
    ("sampling", lambda card: f"{card.sampling}, says its file" if card.sampling else "its file says nothing of it"),
)


def _as_json(cards: dict[str, ModelCard | None], vocab_size: int, profile: Profile | None) -> dict[str, Any]:
    shown = {
        role: None if card is None else {**dataclasses.asdict(card), "end_tokens": sorted(card.end_tokens)}
        for role, card in cards.items()
    }
    return {**shown, "shared_vocab_size": vocab_size, "profile": None if profile is None else profile.as_json()}
