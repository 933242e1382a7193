"""Channels by name (design 2.8): rows of data, each with where its numbers come from."""

from dataclasses import dataclass, replace
from pathlib import Path

from cuhlm.channel.rates import FixedRate, RateModel, ShannonRate, read_rate_trace
from cuhlm.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Channel:
    """An uplink and a round trip.

    Attributes:
        name: as on the command line.
        rate: how long bits take to go up.
        round_trip_seconds: per exchange, beside the bits: there and back.
        source: where the numbers come from.
    """

    name: str
    rate: RateModel
    round_trip_seconds: float
    source: str


CHANNELS: dict[str, Channel] = {
    channel.name: channel
    for channel in (
        Channel(
            "paper",
            ShannonRate(bandwidth_hz=1e6, snr_db=10.0, rayleigh=True),
            0.0,
            "the paper's model: Shannon capacity under Rayleigh block fading, no round trip; 1 MHz and 10 dB are ours",
        ),
        Channel("lan", FixedRate(1e9), 0.0005, "gigabit Ethernet"),
        Channel("wifi", FixedRate(30e6), 0.005, "a busy home network"),
        Channel("lte", FixedRate(5e6), 0.050, "a usual uplink in a town"),
        Channel("3g", FixedRate(1e6), 0.120, "mean of driving traces of two US carriers, about 0.9 Mbit/s"),
        Channel("satellite", FixedRate(15e6), 0.045, "low orbit: mean of an uplink trace on a motorway, 16 Mbit/s"),
        Channel("iot-64k", FixedRate(64e3), 0.300, "a narrow-band modem"),
    )
}

_OVERRIDES = {"snr_db", "bandwidth_hz", "mbps", "rtt_ms"}


def find_channel(text: str) -> Channel:
    """The channel that a command line names.

    Args:
        text: ``NAME`` of a preset, or ``trace:FILE.csv``; then, after further colons, what differs from it:
            ``rtt_ms=…``, and ``snr_db=…``, ``bandwidth_hz=…`` (Shannon) or ``mbps=…`` (fixed rate). Example:
            ``paper:snr_db=0:rtt_ms=40``.

    Raises:
        ConfigurationError: the name or an override is unknown or unusable.
    """
    name, *rest = text.split(":")
    if name == "trace":
        if not rest:
            raise ConfigurationError("the channel 'trace' names no file; expected trace:FILE.csv")
        path = Path(rest.pop(0))
        channel = Channel(f"trace:{path.name}", read_rate_trace(path), 0.050, "a rate trace; 50 ms round trip is ours")
    elif name in CHANNELS:
        channel = CHANNELS[name]
    else:
        raise ConfigurationError(f"the channel {name!r} is unknown; expected {', '.join(CHANNELS)} or trace:FILE.csv")
    for override in rest:
        channel = _overridden(channel, override)
    return replace(channel, name=text)


def _overridden(channel: Channel, override: str) -> Channel:
    key, _, number = override.partition("=")
    try:
        value = float(number)
    except ValueError:
        value = float("nan")
    if key not in _OVERRIDES or not abs(value) < float("inf"):
        raise ConfigurationError(
            f"{override!r} is no setting of a channel; expected {', '.join(sorted(_OVERRIDES))}=NUMBER"
        )
    if key == "rtt_ms":
        if value < 0:
            raise ConfigurationError(f"the round trip is {value} ms; expected 0 or more")
        return replace(channel, round_trip_seconds=value / 1000)
    if key == "mbps" and isinstance(channel.rate, FixedRate):
        return replace(channel, rate=FixedRate(value * 1e6))
    if key == "snr_db" and isinstance(channel.rate, ShannonRate):
        return replace(channel, rate=replace(channel.rate, snr_db=value))
    if key == "bandwidth_hz" and isinstance(channel.rate, ShannonRate):
        return replace(channel, rate=replace(channel.rate, bandwidth_hz=value))
    raise ConfigurationError(f"{key} does not go with the channel {channel.name}; see `cuhlm describe --channels`")
