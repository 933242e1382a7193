"""The two real models, loaded once per process. A test opens sequences of its own and closes them.

`make test` runs files side by side, one process per core. Each process keeps to its core, and so do the models and the
commands that its tests start: their threads would else fight for the cores, and spin.
"""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from cuhlm.engines.llama_cpp import LlamaCppEngine
from cuhlm.engines.load import load_engine
from cuhlm.engines.locate import BUILT_IN_DRAFT, BUILT_IN_TARGET

settings.register_profile("no deadline", settings(), deadline=None)  # a busy machine is slow, not wrong
settings.load_profile("no deadline")

_CPUS = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
if _WORKER and _CPUS:
    os.sched_setaffinity(0, {sorted(_CPUS)[int(_WORKER.removeprefix("gw")) % len(_CPUS)]})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The file that takes longest begins first, or the others' core would wait for it."""
    items.sort(key=lambda item: "test_readme" not in item.nodeid)


@pytest.fixture
def every_core() -> Iterator[None]:
    """For a test that needs more than the core of its process."""
    own = os.sched_getaffinity(0) if _CPUS else set()
    if _CPUS:
        os.sched_setaffinity(0, _CPUS)
    yield
    if _CPUS:
        os.sched_setaffinity(0, own)


def _loaded(name: str) -> Iterator[LlamaCppEngine]:
    engine = load_engine(name, context_length=1024, sequences=4)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def draft_engine() -> Iterator[LlamaCppEngine]:
    yield from _loaded(BUILT_IN_DRAFT)


@pytest.fixture(scope="session")
def target_engine() -> Iterator[LlamaCppEngine]:
    yield from _loaded(BUILT_IN_TARGET)
