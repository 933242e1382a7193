"""A TCP relay between a device and a verifier, which can fall silent: bytes then wait in it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Relay:
    """Forwards every connection to `address`, both ways, while it is not held."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._target = (host, int(port))
        self._flowing = threading.Event()
        self._flowing.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets = [self._listener]
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self) -> None:
        """Let nothing through any more."""
        self._flowing.clear()

    def release(self) -> None:
        """Let through what waited, and what comes."""
        self._flowing.set()

    def close(self) -> None:
        """Cut every connection."""
        self._flowing.set()
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                device, _ = self._listener.accept()
                verifier = socket.create_connection(self._target)
                self._sockets += [device, verifier]
                for source, sink in ((device, verifier), (verifier, device)):
                    threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._flowing.wait()
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


@contextmanager
def relay(address: str) -> Iterator[Relay]:
    """A relay to `address` for as long as it is needed."""
    running = Relay(address)
    try:
        yield running
    finally:
        running.close()
