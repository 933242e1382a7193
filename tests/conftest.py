"""The two real models, loaded once per session. A test opens sequences of its own and closes them."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from cuhlm.engines.llama_cpp import LlamaCppEngine
from cuhlm.engines.load import load_engine
from cuhlm.engines.locate import BUILT_IN_DRAFT, BUILT_IN_TARGET

settings.register_profile("no deadline", settings(), deadline=None)  # a busy machine is slow, not wrong
settings.load_profile("no deadline")


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
