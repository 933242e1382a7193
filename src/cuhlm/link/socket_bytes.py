"""Bytes on the socket, asked of the kernel (design 2.8: counted, not computed).

gRPC owns its sockets. On Linux they are found among this process's file descriptors by the peer's port, and
TCP_INFO says what each has sent and received, HTTP/2 and TLS framing included. Elsewhere nothing is counted.
"""

import os
import socket
import struct
import threading
from dataclasses import dataclass
from pathlib import Path

from cuhlm.link.base import Traffic

_BYTES_RECEIVED_AT = 128  # struct tcp_info, linux/tcp.h: u64 tcpi_bytes_received
_BYTES_SENT_AT = 200  # u64 tcpi_bytes_sent, since Linux 4.19
_TCP_INFO_SIZE = 208

_CLAIMED: set[str | None] = set()
"""Sockets that some link of this process counts: two links may reach verifiers on the same port."""
_CLAIMING = threading.Lock()


@dataclass(frozen=True, slots=True)
class Connection:
    """One open TCP connection of this process.

    Attributes:
        name: the kernel's name of the socket, which is never used again.
        descriptor: its file descriptor, which is.
    """

    name: str
    descriptor: int

    def traffic(self) -> Traffic | None:
        """Bytes sent and received since it was opened; None once it is gone, or where the kernel cannot say."""
        if _socket_name(self.descriptor) != self.name:
            return None
        try:
            return _traffic_of(self.descriptor)
        except OSError:
            return None


class OwnConnection:
    """The TCP connection that one gRPC channel keeps to a peer's `port`.

    It can be told from the process's other connections to that port while only one of them is unclaimed: look for it
    as soon as the channel has had an answer.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._name: str | None = None

    def find(self) -> Connection | None:
        """The connection, claimed for this channel; None where it cannot be told from another."""
        with _CLAIMING:
            open_now = _connections(self._port)
            if self._name not in open_now:  # the first time, or since the channel connected anew
                self._forget()
                unclaimed = open_now.keys() - _CLAIMED
                if len(unclaimed) != 1:
                    return None
                self._name = unclaimed.pop()
                _CLAIMED.add(self._name)
            return Connection(self._name, open_now[self._name])

    def release(self) -> None:
        """Claim it no longer."""
        with _CLAIMING:
            self._forget()

    def _forget(self) -> None:
        _CLAIMED.discard(self._name)
        self._name = None


def _connections(port: int) -> dict[str, int]:
    """This process's TCP connections to a peer's `port`: name of the socket → file descriptor.

    Empty where the system has no /proc.
    """
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        return {}
    descriptors = [int(entry.name) for entry in folder.iterdir()]
    named = {name: each for each in descriptors if (name := _socket_name(each)) is not None}
    return {name: each for name, each in named.items() if _peer_port(each) == port}


def _socket_name(descriptor: int) -> str | None:
    """The kernel's name of the socket behind `descriptor`; None where there is none."""
    try:
        name = str(Path(f"/proc/self/fd/{descriptor}").readlink())
    except OSError:  # closed meanwhile
        return None
    return name if name.startswith("socket:") else None


def _traffic_of(descriptor: int) -> Traffic:
    with socket.socket(fileno=os.dup(descriptor)) as duplicate:
        info = duplicate.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
    if len(info) < _TCP_INFO_SIZE:
        raise OSError("this kernel's TCP_INFO has no byte counts")
    (received,) = struct.unpack_from("=Q", info, _BYTES_RECEIVED_AT)
    (sent,) = struct.unpack_from("=Q", info, _BYTES_SENT_AT)
    return Traffic(up=sent, down=received)


def _peer_port(descriptor: int) -> int | None:
    try:
        with socket.socket(fileno=os.dup(descriptor)) as duplicate:
            peer = duplicate.getpeername()
    except OSError:
        return None
    return peer[1] if isinstance(peer, tuple) else None
