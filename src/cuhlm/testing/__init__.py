"""For those who write an engine, a link or a codec of their own, and for cuhlm's own tests.

`check_engine`, `check_link` and `check_codec` say what every engine, link and codec must do; `ToyEngine` is a model
small enough to test a law with, and `link_target` the one that must be behind a link that is checked.
"""

from cuhlm.testing.check_codec import CODEC_CHECKS, CodecCheck, check_codec
from cuhlm.testing.check_engine import ENGINE_CHECKS, EngineCheck, check_engine
from cuhlm.testing.check_link import LINK_CHECKS, LinkCheck, check_link, link_target
from cuhlm.testing.padded_engine import PaddedEngine
from cuhlm.testing.toy_engine import ToyEngine

__all__ = [
    "CODEC_CHECKS",
    "ENGINE_CHECKS",
    "LINK_CHECKS",
    "CodecCheck",
    "EngineCheck",
    "LinkCheck",
    "PaddedEngine",
    "ToyEngine",
    "check_codec",
    "check_engine",
    "check_link",
    "link_target",
]
