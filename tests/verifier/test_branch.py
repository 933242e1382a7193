"""Drafts streamed ahead of the target, as the verifier holds them."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cuhlm.messages import Chunk
from cuhlm.theory.pacing import RunningAgreement
from cuhlm.verifier.branch import Branch

MOST_HELD = 256
PROMPT = (1, 2, 3)


@dataclass
class Told(RunningAgreement):
    """An agreement that remembers what it was told."""

    stood: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def note(self, stands: bool) -> None:
        self.stood.append(stands)
        super().note(stands)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def branch(told: Told) -> Branch:
    return Branch(told)


def test_live_drafts_are_held_in_order_one_chunk_behind_another(branch: Branch) -> None:
    assert branch.take(Chunk(3, (4, 5), 3), PROMPT)
    assert branch.take(Chunk(5, (6,), 3), PROMPT)
    assert branch.drafts == [4, 5, 6]


def test_a_draft_that_the_target_decides_alike_leaves_those_behind_it_and_another_ends_them(
    branch: Branch, told: Told
) -> None:
    branch.take(Chunk(3, (4, 5, 6, 7), 3), PROMPT)
    branch.decide([4, 5], 3)
    assert branch.drafts == [6, 7]
    branch.decide([9], 5)
    assert branch.drafts == []
    assert told.stood == [True, True, False]


def test_a_chunk_behind_a_draft_that_fell_is_dead_until_the_device_knows(branch: Branch) -> None:
    branch.take(Chunk(3, (4, 5), 3), PROMPT)
    branch.decide([9], 3)
    assert not branch.take(Chunk(5, (6,), 3), (*PROMPT, 9))
    assert branch.drafts == []
    assert branch.take(Chunk(4, (6,), 4), (*PROMPT, 9))
    assert branch.drafts == [6]


def test_a_dead_chunk_that_asks_is_dead(branch: Branch) -> None:
    branch.take(Chunk(3, (4,), 3), PROMPT)
    branch.decide([9], 3)
    assert not branch.take(Chunk(4, (), 3, asks=True), (*PROMPT, 9))
    assert branch.take(Chunk(4, (), 4, asks=True), (*PROMPT, 9))


def test_late_drafts_that_are_right_count_as_agreement_and_what_is_behind_them_is_live(
    branch: Branch, told: Told
) -> None:
    assert branch.take(Chunk(3, (4, 5, 6), 3), (*PROMPT, 4, 5))
    assert branch.drafts == [6]
    assert told.stood == [True, True]


def test_a_late_draft_that_is_wrong_ends_its_branch_and_all_that_is_held_of_it(branch: Branch, told: Told) -> None:
    assert not branch.take(Chunk(3, (4, 5, 6), 3), (*PROMPT, 4, 9))
    assert branch.drafts == []
    assert told.stood == [True, False]
    assert not branch.take(Chunk(6, (7,), 3), (*PROMPT, 4, 9))


@pytest.mark.parametrize("seen", [3, 4])
def test_a_chunk_is_dead_if_what_fell_was_undecided_to_the_device_and_live_from_the_next_position(
    seen: int, branch: Branch
) -> None:
    branch.take(Chunk(3, (4,), 3), PROMPT)
    branch.decide([9], 3)
    assert branch.take(Chunk(4, (5,), seen), (*PROMPT, 9)) is (seen > 3)
    assert branch.drafts == [5] * (seen > 3)


def test_drafts_that_leave_a_gap_are_dropped(branch: Branch) -> None:
    assert branch.take(Chunk(4, (5, 6), 3), PROMPT)
    assert branch.drafts == []
    branch.take(Chunk(3, (4,), 3), PROMPT)
    branch.take(Chunk(5, (6,), 3), PROMPT)
    assert branch.drafts == [4]


def test_a_chunk_that_comes_twice_adds_nothing_and_one_that_overlaps_adds_what_is_new(branch: Branch) -> None:
    for chunk in (Chunk(3, (4, 5), 3), Chunk(3, (4, 5), 3), Chunk(4, (5, 6), 3)):
        branch.take(chunk, PROMPT)
    assert branch.drafts == [4, 5, 6]


def test_no_more_is_held_than_the_bound(branch: Branch) -> None:
    branch.take(Chunk(3, (4,) * 200, 3), PROMPT)
    branch.take(Chunk(203, (4,) * 200, 3), PROMPT)
    assert len(branch.drafts) == MOST_HELD


def test_what_is_decided_where_nothing_is_held_says_nothing_of_agreement(branch: Branch, told: Told) -> None:
    branch.decide([4, 5], 3)
    assert told.stood == []


CHUNKS = st.integers(0, 24).flatmap(
    lambda position: st.builds(
        Chunk, st.just(position), st.lists(st.integers(0, 1), max_size=6).map(tuple), st.integers(0, position)
    )
)
"""Of two tokens, so that drafts often stand."""


@given(st.lists(CHUNKS | st.lists(st.integers(0, 1), min_size=1, max_size=4), max_size=40))
def test_whatever_comes_in_whatever_order_what_is_held_continues_the_text(
    events: "list[Chunk | list[int]]",
) -> None:
    """Held is what some chunk said of exactly that position; nothing that fell is ever held again."""
    branch, history, said, fell_at = Branch(RunningAgreement()), list(PROMPT), set[tuple[int, int]](), -1
    for event in events:
        before = list(branch.drafts)
        if isinstance(event, Chunk):
            is_live = branch.take(event, history)
            if event.seen <= fell_at:
                assert not is_live
                assert branch.drafts == before
            late = range(event.position, min(len(history), event.position + len(event.drafted)))
            wrong = [at for at in late if event.drafted[at - event.position] != history[at]]
            if event.seen > fell_at and wrong:
                assert not is_live
                assert branch.drafts == []
                fell_at = wrong[0]
            elif event.seen > fell_at:
                assert is_live
                assert branch.drafts[: len(before)] == before
                said |= set(enumerate(event.drafted, event.position))
        else:
            branch.decide(event, len(history))
            stands = [draft == token for draft, token in zip(before, event, strict=False)]
            if all(stands):
                assert branch.drafts == before[len(event) :]
            else:
                assert branch.drafts == []
                fell_at = len(history) + stands.index(False)
            history += event
        assert len(branch.drafts) <= MOST_HELD
        assert all(each in said for each in enumerate(branch.drafts, len(history)))
