"""HOST:PORT, as both sides write it."""

import ipaddress

from cuhlm.errors import ConfigurationError


def host_and_port(address: str, *, lowest_port: int = 1) -> tuple[str, int]:
    """The host, without the brackets of an IPv6 address, and the port.

    Args:
        address: HOST:PORT.
        lowest_port: 0 where a free port may be asked for.

    Raises:
        ConfigurationError: it is neither.
    """
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not lowest_port <= int(port) < 2**16:
        raise ConfigurationError(
            f"the address {address!r} is unusable; expected HOST:PORT, like 127.0.0.1:50051, "
            f"with a port from {lowest_port} to 65535"
        )
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine, as nobody else can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
