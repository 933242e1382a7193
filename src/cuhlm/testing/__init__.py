"""For those who write an engine, a link or a codec of their own, and for cuhlm's own tests.

`check_engine` says what every engine must do; `ToyEngine` is a model small enough to test a law with.
"""

from cuhlm.testing.check_engine import ENGINE_CHECKS, EngineCheck, check_engine
from cuhlm.testing.toy_engine import ToyEngine

__all__ = ["ENGINE_CHECKS", "EngineCheck", "ToyEngine", "check_engine"]
