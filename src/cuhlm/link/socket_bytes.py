"""Bytes on the socket, asked of the kernel (design 2.8: counted, not computed).

gRPC owns its sockets. On Linux they are found among this process's file descriptors by the peer's address, and
TCP_INFO says what each has sent and received, HTTP/2 and TLS framing included. Elsewhere nothing is counted.
"""

import os
import socket
import struct
from pathlib import Path

from cuhlm.link.base import Traffic

_BYTES_RECEIVED_AT = 128  # struct tcp_info, linux/tcp.h: u64 tcpi_bytes_received
_BYTES_SENT_AT = 200  # u64 tcpi_bytes_sent, since Linux 4.19
_TCP_INFO_SIZE = 208


def connections(port: int) -> dict[str, int]:
    """This process's TCP connections to a peer's `port`: the kernel's name of the socket → file descriptor.

    Empty where the system has no /proc.
    """
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        return {}
    found: dict[str, int] = {}
    for entry in folder.iterdir():
        try:
            name = str(entry.readlink())
        except OSError:  # closed meanwhile
            continue
        if name.startswith("socket:") and _peer_port(int(entry.name)) == port:
            found[name] = int(entry.name)
    return found


def traffic_of(descriptor: int) -> Traffic:
    """Bytes that the TCP connection behind `descriptor` has sent and received.

    Raises:
        OSError: it is not an open TCP socket, or the system has no TCP_INFO.
    """
    duplicate = socket.socket(fileno=os.dup(descriptor))
    try:
        info = duplicate.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
    finally:
        duplicate.close()
    if len(info) < _TCP_INFO_SIZE:
        raise OSError("this kernel's TCP_INFO has no byte counts")
    (received,) = struct.unpack_from("=Q", info, _BYTES_RECEIVED_AT)
    (sent,) = struct.unpack_from("=Q", info, _BYTES_SENT_AT)
    return Traffic(up=sent, down=received)


def _peer_port(descriptor: int) -> int | None:
    try:
        duplicate = socket.socket(fileno=os.dup(descriptor))
    except OSError:
        return None
    try:
        peer = duplicate.getpeername()
    except OSError:
        return None
    finally:
        duplicate.close()
    return peer[1] if isinstance(peer, tuple) else None
