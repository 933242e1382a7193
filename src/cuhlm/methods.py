"""The methods of design 2.7, as rows of data: gate, truncation and verification rule, with a name.

A new method is a new row here and, if it brings a new idea, one new function where that idea lives.
"""

from dataclasses import dataclass
from enum import StrEnum

from cuhlm.errors import ConfigurationError
from cuhlm.messages import Verification


class GateRule(StrEnum):
    """When the device asks the verifier."""

    NEVER = "never"
    ALWAYS = "always"
    RANDOM = "random"  # at the rate at which UNCERTAIN would
    UNCERTAIN = "uncertain"  # where u > u_th
    RISKY = "risky"  # where the predicted risk is above what the budget leaves


class TruncationRule(StrEnum):
    """How many vocabulary entries of the draft's distribution are sent."""

    NONE = "none"
    FULL = "full"
    OFFLINE = "offline"  # the profile's k*, the same for every token
    ONLINE = "online"  # k*(t), from this token's x, u and x_d


class DraftFrom(StrEnum):
    """Which law the draft token is drawn from when it is sent (design 2.5)."""

    X = "x"  # the draft's distribution: the paper's rule
    XHAT = "xhat"  # the distribution the verifier will rebuild: exact for every k


@dataclass(frozen=True, slots=True)
class Method:
    """One row of the table.

    Attributes:
        name: as on the command line.
        drafts: whether the device runs its draft model at all.
        gate: when to ask.
        truncation: how much of x to send.
        verification: how the verifier decides what it is asked; None where it never is.
        streams: whether drafts stream ahead of the verdicts (design 2.10); else the device waits for each.
        summary: one line for people.
    """

    name: str
    drafts: bool
    gate: GateRule
    truncation: TruncationRule
    verification: Verification | None
    summary: str
    streams: bool = False

    @property
    def is_gated(self) -> bool:
        """Whether it has a threshold."""
        return self.gate in (GateRule.UNCERTAIN, GateRule.RANDOM)


_SPECULATIVE, _KEYED, _TARGET = Verification.SPECULATIVE, Verification.KEYED, Verification.TARGET
_AUDITED, _SPLIT = Verification.AUDITED, Verification.SPLIT
# fmt: off
_ROWS = (
    Method("local", True, GateRule.NEVER, TruncationRule.NONE, None, "the draft model alone; nothing is sent"),
    Method("remote", False, GateRule.ALWAYS, TruncationRule.NONE, _TARGET, "the target alone; its tokens stream down"),
    Method("lossless", True, GateRule.ALWAYS, TruncationRule.NONE, _KEYED,
           "the target's text exactly; drafts stream ahead, and it never waits for them", streams=True),
    Method("opportunistic", True, GateRule.RISKY, TruncationRule.NONE, _AUDITED,
           "drafts kept within a risk budget that audits hold, the others judged", streams=True),
    Method("split", True, GateRule.ALWAYS, TruncationRule.NONE, _SPLIT,
           "every token verified by its x_d alone; where one falls y comes down, and the device draws"),
    Method("hlm", True, GateRule.ALWAYS, TruncationRule.FULL, _SPECULATIVE,
           "every token verified against the whole distribution"),
    Method("rand-hlm", True, GateRule.RANDOM, TruncationRule.FULL, _SPECULATIVE,
           "tokens verified at random, as often as u-hlm"),
    Method("u-hlm", True, GateRule.UNCERTAIN, TruncationRule.FULL, _SPECULATIVE,
           "uncertain tokens verified, whole distribution"),
    Method("cu-hlm-offline", True, GateRule.UNCERTAIN, TruncationRule.OFFLINE, _SPECULATIVE,
           "uncertain tokens, k* entries"),
    Method("cu-hlm", True, GateRule.UNCERTAIN, TruncationRule.ONLINE, _SPECULATIVE,
           "uncertain tokens, k*(t) entries per token"),
    Method("route", True, GateRule.UNCERTAIN, TruncationRule.NONE, _TARGET,
           "uncertain tokens drawn by the verifier from y"),
)
# fmt: on

METHODS: dict[str, Method] = {method.name: method for method in _ROWS}


def find_method(name: str) -> Method:
    """The method called `name`.

    Raises:
        ConfigurationError: there is none of that name.
    """
    if not isinstance(name, str) or name not in METHODS:
        raise ConfigurationError(f"the method {name!r} is unknown; expected one of {', '.join(METHODS)}")
    return METHODS[name]
