"""Rate traces as files."""

from pathlib import Path

import pytest

from cuhlm.channel.trace_file import read_rate_trace
from cuhlm.errors import ConfigurationError


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "trace.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "seconds,uplink_mbps\n0,1\n1,3\n",
        "seconds,uplink_mbps\r\n10.0,1.0\r\n11.0,3.0\r\n",
        "\ufeffuplink_mbps,cell,seconds\n1,a,0\n3,b,1\n",
        "seconds,uplink_mbps\n0,1\n\n1,3\n",
        "seconds,uplink_mbps,x,x\n0, +1.,,\n1e0, .3e1,,\n",
    ],
)
def test_a_trace_is_read_whatever_its_line_ends_first_second_and_other_columns(tmp_path: Path, text: str) -> None:
    trace = read_rate_trace(written(tmp_path, text))
    assert trace.uplink_seconds(2_500_000, 0.0, 0) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "the columns of an empty file; expected seconds,uplink_mbps"),
        ("time,mbps\n0,1\n", "the columns time, mbps; expected seconds,uplink_mbps in its first line"),
        ("seconds,uplink_mbps\n0,1\n1,fast\n", "line 3: uplink_mbps is 'fast'; expected a number"),
        ("seconds,uplink_mbps\n0,1\n1\n", "line 3: uplink_mbps is None; expected a number"),
        ("seconds,uplink_mbps\n0,1\n,2\n", "line 3: seconds is ''; expected a number"),
        ("seconds,uplink_mbps\n0,nan\n1,2\n", "line 2: uplink_mbps is 'nan'"),
        ("seconds,uplink_mbps\n0,1\ninf,2\n", "line 3: seconds is 'inf'"),
        ("seconds,uplink_mbps\n0,1\n1,-2\n", "line 3: uplink_mbps is -2; expected 0"),
        ("seconds,uplink_mbps\n0,1\n2,1\n1.5,1\n", "line 4: seconds is 1.5 after 2; expected ascending times"),
        ("seconds,uplink_mbps\n0,1_0\n1,2\n", "line 2: uplink_mbps is '1_0'; expected a number"),
        ("seconds,uplink_mbps\n0,１\n1,2\n", "line 2: uplink_mbps is '１'; expected a number"),
        ("seconds,uplink_mbps\n0,1e302\n1,2\n", r"line 2: uplink_mbps is 1e\+302; expected 0 .an outage., or 1e-06 to"),
        ("seconds,uplink_mbps\n0,1e308\n1,2\n", r"line 2: uplink_mbps is 1e\+308"),
        ("seconds,uplink_mbps\n0,1e-9\n1,2\n", "line 2: uplink_mbps is 1e-09"),
        ("seconds,uplink_mbps\n-1e300,1\n1,2\n", r"line 2: seconds is -1e\+300; expected at most"),
        ("seconds,uplink_mbps\n0," + 400 * "9" + "\n1,2\n", r"line 2: uplink_mbps is '9+\.\.\.9+'; expected a number"),
        ("seconds,uplink_mbps,uplink_mbps\n0,1,2\n1,1,2\n", "has the column uplink_mbps more than once"),
        ("seconds,uplink_mbps\n0,0\n1,0\n", "0 throughout"),
        ("seconds,uplink_mbps\n0,1\n", "1 rows is unusable; expected at least 2"),
        (b"seconds,uplink_mbps\n\xff\xfe,1\n", "is no CSV file"),
    ],
)
def test_a_malformed_trace_is_refused_with_line_and_value(tmp_path: Path, text: str | bytes, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint) as refusal:
        read_rate_trace(written(tmp_path, text))
    assert "trace.csv" in str(refusal.value)


def test_a_missing_file_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.csv cannot be read: No such file"):
        read_rate_trace(tmp_path / "nowhere.csv")
