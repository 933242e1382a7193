"""Channels by name (design 2.8): rows of data, each with where its numbers come from."""

import math
import re
import reprlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from cuhlm.channel.rates import FixedRate, RateModel, ShannonRate
from cuhlm.channel.trace_file import read_rate_trace
from cuhlm.errors import ConfigurationError
from cuhlm.readable import number_in


@dataclass(frozen=True, slots=True)
class Channel:
    """An uplink and a round trip.

    Attributes:
        name: as on the command line.
        rate: how long bits take to go up.
        round_trip_seconds: per exchange, beside the bits: there and back.
        source: where the numbers come from.
        downlink_bits_per_second: billed only with the bytes counted on a socket; None lets bits come down in no time.
    """

    name: str
    rate: RateModel
    round_trip_seconds: float
    source: str
    downlink_bits_per_second: float | None = None


CHANNELS: dict[str, Channel] = {
    channel.name: channel
    for channel in (
        Channel(
            "paper",
            ShannonRate(bandwidth_hz=1e6, snr_db=10.0, rayleigh=True),
            0.0,
            "the paper's model: Shannon capacity under Rayleigh block fading, no round trip; 1 MHz and 10 dB are ours",
        ),
        Channel("lan", FixedRate(1e9), 0.0005, "our choice: gigabit Ethernet", 1e9),
        Channel("wifi", FixedRate(30e6), 0.005, "our choice: a busy home network", 100e6),
        Channel(
            "lte",
            FixedRate(5e6),
            0.050,
            "uplink: about the median, 5.4 Mbit/s, of a trace of a US network (Winstein et al., NSDI 2013); rest ours",
            30e6,
        ),
        Channel(
            "3g",
            FixedRate(1e6),
            0.120,
            "uplink: about the mean, 0.9 Mbit/s, of drives in two US networks (Winstein et al., NSDI 2013); rest ours",
            5e6,
        ),
        Channel(
            "satellite",
            FixedRate(15e6),
            0.045,
            "uplink: about the median of Starlink on a motorway, 15.3 Mbit/s (sys-uos/Starlink-on-the-Autobahn, 2024); "
            "rest ours",
            100e6,
        ),
        Channel("iot-64k", FixedRate(64e3), 0.300, "our choice: a narrow-band modem", 64e3),
    )
}

TRACE_ROUND_TRIP_SECONDS = 0.050
"""Of a rate trace, which says nothing of it; our choice."""

LONGEST_ROUND_TRIP_MS = 1e7
_TRACE = re.compile(r"trace:(?P<file>.*\.csv|[^:]*)(?P<settings>(:.*)?)", re.DOTALL | re.IGNORECASE)


def find_channel(text: str) -> Channel:
    """The channel that a command line names.

    Args:
        text: ``NAME`` of a preset, or ``trace:FILE.csv``, up to its last ``.csv``; then, each after a colon, what
            differs from it:
            ``rtt_ms=…`` and ``down_mbps=…`` (any channel), ``mbps=…`` (a fixed rate), ``bandwidth_hz=…``,
            ``snr_db=…``, ``rayleigh=0`` or ``1``, ``outage=…`` and ``seed=…`` (Shannon). Example:
            ``paper:snr_db=0:rtt_ms=40``.

    Raises:
        ConfigurationError: the name or a setting is unknown or unusable.
    """
    name, *settings = text.split(":")
    if name == "trace":
        parts = _TRACE.fullmatch(text)
        if parts is None or not parts["file"]:
            raise ConfigurationError(f"the channel {text!r} names no file; expected trace:FILE.csv")
        settings = parts["settings"].split(":")[1:]
        rate = read_rate_trace(Path(parts["file"]))
        channel = Channel(name, rate, TRACE_ROUND_TRIP_SECONDS, "a rate trace; the round trip of 50 ms is ours")
    elif name in CHANNELS:
        channel = CHANNELS[name]
    else:
        raise ConfigurationError(f"the channel {name!r} is unknown; expected {', '.join(CHANNELS)} or trace:FILE.csv")
    for setting in settings:
        channel = _changed(channel, setting)
    return replace(channel, name=text)


def _changed(channel: Channel, setting: str) -> Channel:
    """`channel` with one ``key=number`` of the command line."""
    key, _, number = setting.partition("=")
    changes = _changes(channel)
    if key not in changes:
        known = ", ".join(f"{each}=…" for each in changes)
        raise ConfigurationError(f"{key!r} is no setting of the channel {channel.name!r}; expected {known}")
    value = number_in(number)
    if not math.isfinite(value):
        raise ConfigurationError(f"{key} of the channel is {reprlib.repr(number)}; expected a number, as in {key}=1")
    return changes[key](value)


def _changes(channel: Channel) -> dict[str, Callable[[float], Channel]]:
    """What can be set of `channel`."""
    rate = channel.rate
    changes: dict[str, Callable[[float], Channel]] = {
        "rtt_ms": lambda value: replace(channel, round_trip_seconds=_round_trip(value) / 1000),
        "down_mbps": lambda value: replace(channel, downlink_bits_per_second=FixedRate(value * 1e6).bits_per_second),
    }
    if isinstance(rate, FixedRate):
        changes["mbps"] = lambda value: replace(channel, rate=FixedRate(value * 1e6))
    if isinstance(rate, ShannonRate):
        changes["bandwidth_hz"] = lambda value: replace(channel, rate=replace(rate, bandwidth_hz=value))
        changes["snr_db"] = lambda value: replace(channel, rate=replace(rate, snr_db=value))
        changes["rayleigh"] = lambda value: replace(channel, rate=replace(rate, rayleigh=_yes_or_no(value)))
        changes["outage"] = lambda value: replace(channel, rate=replace(rate, outage=value))
        changes["seed"] = lambda value: replace(channel, rate=replace(rate, seed=_whole(value)))
    return changes


def _round_trip(milliseconds: float) -> float:
    if not 0 <= milliseconds <= LONGEST_ROUND_TRIP_MS:
        raise ConfigurationError(
            f"rtt_ms of the channel is {milliseconds:g}; expected 0 to {LONGEST_ROUND_TRIP_MS:g} (two hours and more)"
        )
    return milliseconds


def _yes_or_no(value: float) -> bool:
    if value not in (0, 1):
        raise ConfigurationError(f"rayleigh of the channel is {value:g}; expected 0 (no fading) or 1")
    return bool(value)


def _whole(value: float) -> int:
    if value != int(value) or value >= 2**53:  # floats above are no longer all whole numbers
        raise ConfigurationError(f"seed of the channel is {value:g}; expected a whole number from 0 to 2^53 − 1")
    return int(value)
