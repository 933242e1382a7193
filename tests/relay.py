"""A TCP relay between a device and a verifier, which can fall silent (bytes then wait in it) or drop connections."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

UP, DOWN = "up", "down"


class Relay:
    """Forwards every connection to `address`, both ways, while it is not held.

    Attributes:
        address: where devices find it.
        cut_at: a way, and how many bytes it may carry: connections made from now on are dropped then.
        carried: how many bytes each way of the newest connection had carried after each piece.
    """

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._target = (host, int(port))
        self._flowing = threading.Event()
        self._flowing.set()
        self.cut_at: dict[str, int] = {}
        self.carried: dict[str, list[int]] = {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self) -> None:
        """Let nothing through any more."""
        self._flowing.clear()

    def release(self) -> None:
        """Let through what waited, and what comes."""
        self._flowing.set()

    def cut(self) -> None:
        """Drop every connection there is."""
        _drop(*self._sockets)

    def close(self) -> None:
        """Drop every connection, and take no more."""
        self._flowing.set()
        _drop(self._listener, *self._sockets)

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                device, _ = self._listener.accept()
                verifier = socket.create_connection(self._target)
                self._sockets += [device, verifier]
                self.carried = {UP: [0], DOWN: [0]}
                for source, sink, way in ((device, verifier, UP), (verifier, device, DOWN)):
                    room = (self.carried[way], self.cut_at.get(way))
                    threading.Thread(target=self._forward, args=(source, sink, *room), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, carried: list[int], cut_at: int | None) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._flowing.wait()
                if cut_at is not None:
                    data = data[: cut_at - carried[-1]]
                sink.sendall(data)
                carried.append(carried[-1] + len(data))
                if carried[-1] == cut_at:
                    _drop(source, sink)
            sink.shutdown(socket.SHUT_WR)


def _drop(*sockets: socket.socket) -> None:
    for each in sockets:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


@contextmanager
def relay(address: str) -> Iterator[Relay]:
    """A relay to `address` for as long as it is needed."""
    running = Relay(address)
    try:
        yield running
    finally:
        running.close()
