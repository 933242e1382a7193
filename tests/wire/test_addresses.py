"""HOST:PORT is read as gRPC reads it, and what is only nearly one is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cuhlm.errors import ConfigurationError
from cuhlm.wire.addresses import host_and_port, is_loopback


@given(st.integers(1, 2**16 - 1), st.ip_addresses(v=6).map(str))
def test_an_ipv6_address_stands_in_brackets_and_comes_without(port: int, host: str) -> None:
    assert host_and_port(f"[{host}]:{port}") == (host, port)
    with pytest.raises(ConfigurationError, match="expected HOST:PORT"):
        host_and_port(f"{host}:{port}")


@given(st.integers(1, 2**16 - 1), st.ip_addresses(v=4).map(str) | st.from_regex(r"[a-z0-9.-]{1,20}", fullmatch=True))
def test_other_hosts_stand_alone(port: int, host: str) -> None:
    assert host_and_port(f"{host}:{port}") == (host, port)
    with pytest.raises(ConfigurationError, match="expected HOST:PORT"):
        host_and_port(f"[{host}]:{port}")


@pytest.mark.parametrize(
    "address",
    [
        *("", ":", "host", "host:", ":80", "[]:80", "[::1:80", "::1]:80", "[::1]", "host:80:", "a:b:80"),
        *("host:-1", "host:+1", "host:1e3", "host:0", "host:65536", "host: 80", "host:٨٠", "host:²"),
        *("a\nb:80", "caf\udce9:80", "münchen:80"),
    ],
)
def test_what_is_no_address_is_refused_and_named(address: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        host_and_port(address)
    assert str(refusal.value).startswith(f"the address {address!r} is unusable; expected HOST:PORT")


def test_a_port_of_any_length_is_refused_in_a_short_line() -> None:
    with pytest.raises(ConfigurationError, match=r"the address '127\.0\.0\.1:9+\.\.\.9+' is unusable") as refusal:
        host_and_port(f"127.0.0.1:{'9' * 5000}")
    assert len(str(refusal.value)) < 200


def test_a_free_port_is_asked_for_only_where_that_makes_sense() -> None:
    assert host_and_port("127.0.0.1:0", lowest_port=0) == ("127.0.0.1", 0)
    with pytest.raises(ConfigurationError, match="with a port from 1 to 65535"):
        host_and_port("127.0.0.1:0")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *((host, True) for host in ("127.0.0.1", "127.9.8.7", "::1", "localhost")),
        *((host, False) for host in ("0.0.0.0", "::", "10.0.0.1", "128.0.0.1", "localhost.example.com", "1", "")),
    ],
)
def test_only_what_nobody_else_reaches_is_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
