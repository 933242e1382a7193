"""What the gRPC link refuses of a verifier that does not keep to the protocol."""

import pytest

from cuhlm.errors import ProtocolError
from cuhlm.link.grpc import checked_verdict
from cuhlm.messages import Block, Payload, Verdict

DRAFTED = Block(5, (), (3,), (Payload(b"", 1, 8, 12),))
ALONE = Block(5, (), generate=3)


@pytest.mark.parametrize(
    ("verdict", "asked"),
    [(Verdict(5, 1, None), DRAFTED), (Verdict(5, 0, 7), DRAFTED), (Verdict(5, 0, 7), ALONE), (Verdict(7, 0, 7), ALONE)],
)
def test_a_verdict_that_answers_the_block_is_taken(verdict: Verdict, asked: Block) -> None:
    assert checked_verdict(verdict, asked, vocab_size=12) is verdict


@pytest.mark.parametrize(
    ("verdict", "asked"),
    [
        (Verdict(4, 1, None), DRAFTED),
        (Verdict(5, 2, None), DRAFTED),
        (Verdict(5, 0, None), DRAFTED),
        (Verdict(5, 1, 7), DRAFTED),
        (Verdict(5, 0, 12), DRAFTED),
        (Verdict(5, 0, None), ALONE),
        (Verdict(8, 0, 7), ALONE),
    ],
)
def test_a_verdict_that_does_not_is_refused(verdict: Verdict, asked: Block) -> None:
    with pytest.raises(ProtocolError, match="expected a verdict on it"):
        checked_verdict(verdict, asked, vocab_size=12)
