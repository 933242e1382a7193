"""Cores are counted so that no two spinning threads share one."""

from pathlib import Path

import pytest

from cuhlm.engines import cores


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four processors on two cores, all of them ours, no quota."""
    for cpu in range(4):
        topology = tmp_path / f"cpu{cpu}" / "topology"
        topology.mkdir(parents=True)
        (topology / "physical_package_id").write_text("0\n")
        (topology / "core_id").write_text(f"{cpu % 2}\n")
    monkeypatch.setattr(cores, "_CPUS", tmp_path)
    monkeypatch.setattr(cores, "_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(cores, "usable_cpus", lambda: {0, 1, 2, 3})
    return tmp_path


def test_two_hardware_threads_of_a_core_count_once(machine: Path) -> None:
    assert cores.usable_cores() == 2


def test_only_processors_we_may_use_count(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "usable_cpus", lambda: {1, 3})
    assert cores.usable_cores() == 1


def test_processors_of_unknown_topology_count_each(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "usable_cpus", lambda: {7, 8, 9})
    assert cores.usable_cores() == 3


@pytest.mark.parametrize(("quota", "expected"), [("max 100000", 2), ("150000 100000", 1), ("50000 100000", 1)])
def test_a_containers_quota_counts_in_whole_cores_but_one_at_least(machine: Path, quota: str, expected: int) -> None:
    (machine / "cpu.max").write_text(quota)
    assert cores.usable_cores() == expected


def test_this_machine_has_a_core() -> None:
    assert 1 <= cores.usable_cores() <= len(cores.usable_cpus())
