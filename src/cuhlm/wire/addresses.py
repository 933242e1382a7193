"""HOST:PORT, as both sides write it."""

import ipaddress
import reprlib

from cuhlm.errors import ConfigurationError

_LONGEST_HOST = 253  # of a name in the DNS


def host_and_port(address: str, *, lowest_port: int = 1) -> tuple[str, int]:
    """The host, without the brackets of an IPv6 address, and the port.

    Args:
        address: HOST:PORT; an IPv6 address stands in brackets, as gRPC would read the port as a part of it.
        lowest_port: 0 where a free port may be asked for.

    Raises:
        ConfigurationError: it is neither.
    """
    host, _, port = address.rpartition(":")
    bracketed = host[:1] + host[-1:] == "[]"
    host = host[1:-1] if bracketed else host
    is_port = port.isascii() and port.isdecimal() and len(port) <= 5 and lowest_port <= int(port) < 2**16
    is_host = 0 < len(host) <= _LONGEST_HOST and host.isascii() and host.isprintable() and bracketed == (":" in host)
    if not (is_host and is_port):
        raise ConfigurationError(
            f"the address {reprlib.repr(address)} is unusable; expected HOST:PORT, like 127.0.0.1:50051 or "
            f"[::1]:50051, with a port from {lowest_port} to 65535"
        )
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine, as nobody else can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
