"""Codecs by the names that openings call them."""

import reprlib

from cuhlm.codec.base import Codec
from cuhlm.codec.fixed_width import FAMILY, FixedWidthCodec
from cuhlm.codec.quantiser import MAX_BITS, MIN_BITS
from cuhlm.errors import ConfigurationError
from cuhlm.settings import Settings

_CODECS: dict[str, Codec] = {
    codec.name: codec for codec in (FixedWidthCodec(b_prob) for b_prob in range(MIN_BITS, MAX_BITS + 1))
}


def codec_of(settings: Settings) -> Codec:
    """The codec that a device with these settings encodes by."""
    return find_codec(f"{FAMILY}{settings.b_prob}")


def find_codec(name: str) -> Codec:
    """The codec called `name`.

    Raises:
        ConfigurationError: there is none of that name.
    """
    try:
        return _CODECS[name]
    except KeyError:
        raise ConfigurationError(
            f"the codec {reprlib.repr(name)} is unknown; expected one of {', '.join(_CODECS)}; "
            "use device and verifier of one version"
        ) from None
