"""A law test goes thousands of times through the same lines: coverage is not measured there, where it costs most."""

import pytest


@pytest.fixture(autouse=True)
def _not_measured(no_cover: None) -> None:
    """pytest-cov looks for the name of the fixture that this one asks for."""
