"""The two real models, loaded once per session. A test opens sequences of its own and closes them."""

from collections.abc import Iterator

import hypothesis
import pytest

from cuhlm.engines.llama_cpp import LlamaCppEngine
from cuhlm.engines.load import load_engine
from cuhlm.engines.locate import BUILT_IN_DRAFT, BUILT_IN_TARGET

# Hypothesis fails what takes 0.2 s, or makes its examples slowly; on a busy machine anything does.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")


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
