"""Codecs have names that both sides know."""

import pytest

from cuhlm.codec.find import find_codec
from cuhlm.codec.fixed_width import FixedWidthCodec
from cuhlm.errors import ConfigurationError
from cuhlm.messages import Opening, Sampling


@pytest.mark.parametrize("b_prob", range(4, 17))
def test_every_width_is_found_by_its_name(b_prob: int) -> None:
    codec = FixedWidthCodec(b_prob)
    assert codec.name == f"fixed-width-{b_prob}"
    assert find_codec(codec.name).bits(30, 32_000) == codec.bits(30, 32_000)


def test_an_opening_names_the_papers_code_unless_it_says_another() -> None:
    assert find_codec(Opening((1,), Sampling(), 0, 12).codec).name == FixedWidthCodec().name


@pytest.mark.parametrize("name", ["", "fixed-width-3", "fixed-width-17", "zip"])
def test_a_name_of_no_codec_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"the codec '{name}' is unknown; expected one of fixed-width-4"):
        find_codec(name)
