"""Channels and compute tables by name."""

from pathlib import Path

import pytest

from cuhlm.channel.compute import COMPUTE_TABLES, MEASURED, find_compute
from cuhlm.channel.presets import CHANNELS, find_channel
from cuhlm.channel.rates import FixedRate, ShannonRate, TraceRate
from cuhlm.errors import ConfigurationError


@pytest.mark.parametrize("name", ["paper", "lan", "wifi", "lte", "3g", "satellite", "iot-64k"])
def test_every_named_channel_carries_bits_and_says_where_its_numbers_come_from(name: str) -> None:
    channel = find_channel(name)
    assert channel == CHANNELS[name]
    assert 0 < channel.rate.uplink_seconds(690, 0.0, 3) < 60
    assert channel.round_trip_seconds >= 0
    assert channel.source


def test_settings_change_what_they_name_and_nothing_else() -> None:
    paper = CHANNELS["paper"]
    changed = find_channel("paper:snr_db=0:rtt_ms=40:seed=7:bandwidth_hz=2e6:rayleigh=0:down_mbps=5")
    assert changed.rate == ShannonRate(2e6, 0.0, rayleigh=False, seed=7)
    assert changed.round_trip_seconds == pytest.approx(0.04)
    assert changed.downlink_bits_per_second == 5e6
    assert changed.name == "paper:snr_db=0:rtt_ms=40:seed=7:bandwidth_hz=2e6:rayleigh=0:down_mbps=5"
    assert find_channel("paper:rtt_ms=1").rate == paper.rate
    assert find_channel("lte:mbps=2").rate == FixedRate(2e6)
    assert find_channel("lte:mbps=2").round_trip_seconds == CHANNELS["lte"].round_trip_seconds


def test_a_trace_file_is_a_channel_too(tmp_path: Path) -> None:
    path = tmp_path / "drive.csv"
    path.write_text("seconds,uplink_mbps\n0,1\n1,3\n")
    channel = find_channel(f"trace:{path}:rtt_ms=10")
    assert isinstance(channel.rate, TraceRate)
    assert channel.round_trip_seconds == pytest.approx(0.01)
    assert find_channel(f"trace:{path}").round_trip_seconds == pytest.approx(0.05)


def test_a_trace_file_may_have_colons_in_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a:rtt_ms=3:b.csv"
    path.write_text("seconds,uplink_mbps\n0,1\n1,3\n")
    assert find_channel(f"trace:{path}").round_trip_seconds == pytest.approx(0.05)
    assert find_channel(f"trace:{path}:rtt_ms=10").round_trip_seconds == pytest.approx(0.01)


def test_a_trace_file_without_the_usual_ending_ends_at_the_first_colon(tmp_path: Path) -> None:
    path = tmp_path / "drive.txt"
    path.write_text("seconds,uplink_mbps\n0,1\n1,3\n")
    assert find_channel(f"trace:{path}:rtt_ms=10").round_trip_seconds == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("5g", "channel '5g' is unknown; expected paper, lan"),
        ("", "channel '' is unknown"),
        ("trace", "names no file; expected trace:FILE.csv"),
        ("trace:", "names no file"),
        ("trace:nowhere.csv", "cannot be read"),
        ("lte:snr_db=3", "'snr_db' is no setting of the channel 'lte'; expected rtt_ms=…, down_mbps=…, mbps=…"),
        ("paper:mbps=3", "'mbps' is no setting of the channel 'paper'; expected .*snr_db=…"),
        ("paper:snr_db", "snr_db of the channel is ''; expected a number"),
        ("paper:snr_db=high", "snr_db of the channel is 'high'"),
        ("paper:snr_db=nan", "snr_db of the channel is 'nan'"),
        ("paper:snr_db=200", "SNR is 200.0 dB"),
        ("paper:rtt_ms=-1", "rtt_ms of the channel is -1; expected 0 to 1e\\+07"),
        ("paper:rtt_ms=1e8", "rtt_ms of the channel is 1e\\+08"),
        ("paper:rtt_ms=1_0", "rtt_ms of the channel is '1_0'; expected a number"),
        ("paper:rtt_ms=１", "rtt_ms of the channel is '１'"),
        ("paper:snr_db=" + 5000 * "9", r"snr_db of the channel is '9+\.\.\.9+'; expected a number"),
        ("paper:bandwidth_hz=1e302", r"bandwidth is 1e\+302 Hz; expected 1 to 1e\+12"),
        ("lte:mbps=1e302", r"rate is 1e\+302 Mbit/s; expected 1e-06 to 1e\+06"),
        ("lte:mbps=1e-300", "rate is 1e-300 Mbit/s"),
        ("paper:rayleigh=2", "rayleigh of the channel is 2"),
        ("paper:seed=0.5", "seed of the channel is 0.5"),
        ("paper:seed=-1", "seed of the fading is -1"),
        ("lte:mbps=0", "rate is 0 Mbit/s"),
        ("lte:down_mbps=0", "rate is 0 Mbit/s"),
    ],
)
def test_a_channel_that_makes_no_sense_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        find_channel(text)


def test_compute_tables_are_found_by_name_and_say_where_they_come_from() -> None:
    assert find_compute("measured") is MEASURED
    for name, table in COMPUTE_TABLES.items():
        assert find_compute(name) is table
        assert table.source
    with pytest.raises(ConfigurationError, match="compute table 'cray' is unknown; expected measured, "):
        find_compute("cray")
