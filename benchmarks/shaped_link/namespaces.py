"""Two network namespaces, each with one end of a link; nothing else can be reached from them. Linux, root, iproute2."""

import fcntl
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cuhlm.errors import ConfigurationError

_TUN = Path("/dev/net/tun")
_TUNSETIFF = 0x400454CA  # linux/if_tun.h
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_CONGESTION_CONTROL = Path("/proc/sys/net/ipv4/tcp_congestion_control")
DEVICE_ADDRESS, VERIFIER_ADDRESS = "10.211.8.1", "10.211.8.2"


@dataclass(frozen=True, slots=True)
class End:
    """One end of the link.

    Attributes:
        namespace: its name.
        address: its IP address.
        tun: file descriptor of its TUN device: what its programs send is read here, what is written here they receive.
    """

    namespace: str
    address: str
    tun: int

    def command(self, *arguments: str) -> list[str]:
        """A command that runs in this end."""
        return ["ip", "netns", "exec", self.namespace, *arguments]


def obstacle() -> str | None:
    """Why no namespaces can be made here, in one line; None where they can."""
    if sys.platform != "linux":
        return f"network namespaces are Linux's, and this is {sys.platform}"
    if os.geteuid() != 0:
        return "making network namespaces needs root: run it with sudo"
    if shutil.which("ip") is None:
        return "the command ip is missing: install iproute2"
    if not _TUN.exists():
        return f"{_TUN} is missing: load the kernel module tun, or give it to the container with --device {_TUN}"
    try:
        with joined_namespaces():
            return None
    except (ConfigurationError, OSError) as error:
        return f"network namespaces are not permitted here ({error})"


@contextmanager
def joined_namespaces(*, congestion_control: str | None = None) -> Generator[tuple[End, End], None, None]:
    """The device's and the verifier's end, which are removed afterwards whatever happens.

    Args:
        congestion_control: of TCP in both; None leaves the system's own.

    Raises:
        ConfigurationError: the system does not let us, or does not offer this congestion control.
    """
    if congestion_control is not None:
        _check_congestion_control(congestion_control)
    name = f"cuhlm{os.getpid()}"
    with ExitStack() as stack:
        device = _end(f"{name}d", DEVICE_ADDRESS, VERIFIER_ADDRESS, congestion_control, stack)
        verifier = _end(f"{name}v", VERIFIER_ADDRESS, DEVICE_ADDRESS, congestion_control, stack)
        yield device, verifier


def _end(name: str, address: str, peer: str, congestion_control: str | None, stack: ExitStack) -> End:
    _run("ip", "netns", "add", name)
    stack.callback(_run, "ip", "netns", "delete", name)
    tun = _open_tun(name)
    stack.callback(os.close, tun)  # which removes the TUN device
    _run("ip", "link", "set", name, "netns", name)
    end = End(name, address, tun)
    # IPv6 off: its own chatter would take its share of a thin link.
    _run(*end.command("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6"))
    if congestion_control:
        _run(*end.command("sh", "-c", f"echo {congestion_control} > {_CONGESTION_CONTROL}"))
    _run("ip", "-n", name, "address", "add", address, "peer", peer, "dev", name)
    for interface in ("lo", name):
        _run("ip", "-n", name, "link", "set", interface, "up")
    return end


def _check_congestion_control(name: str) -> None:
    allowed = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control").read_text().split()
    if name not in allowed:
        raise ConfigurationError(
            f"the congestion control {name!r} is not allowed in namespaces here; expected one of {', '.join(allowed)}"
        )


def _open_tun(name: str) -> int:
    tun = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    except OSError:
        os.close(tun)
        raise
    return tun


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ConfigurationError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
