"""What a message says of installing must work here."""

import importlib.util

import pytest

from cuhlm import installing
from cuhlm.installing import how_to_install


@pytest.mark.parametrize(
    ("packages", "options", "expected"),
    [
        (("cuhlm[hub]",), "", 'pip install "cuhlm[hub]"'),
        (("a==1", "b==2"), "--no-deps", "pip install --no-deps a==1 b==2"),
    ],
)
def test_without_pip_it_is_uv_that_installs(
    packages: tuple[str, ...], options: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installing, "find_spec", lambda _: importlib.util.find_spec("pytest"))
    assert how_to_install(*packages, options=options) == expected
    monkeypatch.setattr(installing, "find_spec", lambda _: None)
    assert how_to_install(*packages, options=options) == f"uv {expected}"
