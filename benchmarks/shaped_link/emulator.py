"""Carries IP packets between two TUN devices as a shaped link would, in a thread of its own."""

import contextlib
import os
import select
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

from benchmarks.shaped_link.direction import Direction

_PACKETS_PER_READ = 64
_LONGEST_NAP_SECONDS = 0.05
_MTU_BYTES = 65_536


class Emulator:
    """A link whose time 0 is when it was made.

    Args:
        device: file descriptor of the device's TUN device, non-blocking.
        verifier: of the verifier's.
        up: from device to verifier.
        down: from verifier to device.

    Attributes:
        began: the link's time 0 on `time.monotonic`, which all processes of a machine share.
        lateness: seconds by which each packet was handed over after its time, in order: small, or the machine was
            too busy for this link and its numbers are no good.
    """

    def __init__(self, device: int, verifier: int, up: Direction, down: Direction) -> None:
        self.began = time.monotonic()
        self.lateness: list[float] = []
        self._ways = ((device, verifier, up), (verifier, device, down))
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Let `run` return."""
        self._stopping.set()

    def run(self) -> None:
        """Carry packets until `stop`."""
        while not self._stopping.is_set():
            for _, outlet, way in self._ways:
                self._deliver(outlet, way)
            nap = min(way.next_arrival for _, _, way in self._ways) - self._now()
            # select, because poll and epoll round up to whole milliseconds.
            inlets = [inlet for inlet, _, _ in self._ways]
            readable, _, _ = select.select(inlets, [], [], min(max(nap, 0.0), _LONGEST_NAP_SECONDS))
            for inlet, _, way in self._ways:
                if inlet in readable:
                    self._take(inlet, way)

    def _now(self) -> float:
        return time.monotonic() - self.began

    def _take(self, inlet: int, way: Direction) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(_PACKETS_PER_READ):
                way.offer(os.read(inlet, _MTU_BYTES), self._now())

    def _deliver(self, outlet: int, way: Direction) -> None:
        for due, packet in way.arrived(self._now()):
            os.write(outlet, packet)
            self.lateness.append(self._now() - due)


@contextmanager
def running(emulator: Emulator) -> Generator[Emulator, None, None]:
    """`emulator` in a thread, for as long as it is needed."""
    thread = threading.Thread(target=emulator.run, name="emulated-link", daemon=True)
    thread.start()
    try:
        yield emulator
    finally:
        emulator.stop()
        thread.join()
