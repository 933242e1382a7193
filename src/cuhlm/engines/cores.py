"""How many cores this process may keep busy (design 3: llama.cpp spins, so more threads than cores is much slower)."""

import os
from pathlib import Path

_CPUS = Path("/sys/devices/system/cpu")
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cpus() -> set[int]:
    """The processors this process may run on; all of them where the system does not say."""
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def usable_cores() -> int:
    """Physical cores among `usable_cpus`, and no more than a container's quota allows; at least 1.

    Two hardware threads of one core share its arithmetic units: a second spinning thread there only takes time away.
    """
    cores = {_core_of(cpu) for cpu in usable_cpus()}
    return max(1, min(len(cores), _quota()))


def _core_of(cpu: int) -> tuple[str, str]:
    topology = _CPUS / f"cpu{cpu}" / "topology"
    try:
        return (topology / "physical_package_id").read_text().strip(), (topology / "core_id").read_text().strip()
    except OSError:  # not Linux, or hidden from a container: count the processor as a core of its own
        return "", str(cpu)


def _quota() -> int:
    """Whole cores that the container's time quota is worth; a very large number without one."""
    try:
        limit, period = _QUOTA.read_text().split()
        return int(limit) // int(period)
    except (OSError, ValueError):  # "max", or no control group at all
        return 1 << 30
