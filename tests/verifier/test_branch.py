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


def test_a_chunk_that_comes_twice_adds_nothing(branch: Branch, told: Told) -> None:
    for chunk in (Chunk(3, (4, 5), 3), Chunk(3, (4, 5), 3)):
        branch.take(chunk, PROMPT)
    assert branch.drafts == [4, 5]
    for _ in range(5):
        branch.take(Chunk(3, (4, 5), 3), (*PROMPT, 4, 5))
    assert told.stood == [True, True], "each position counts once"


def test_behind_a_chunk_that_was_lost_nothing_is_held_until_the_device_begins_anew(branch: Branch) -> None:
    """Or what is held would not be what the device takes it for: here x at 4, where b of the lost branch is held."""
    a, b, t, x = 5, 6, 7, 8
    assert branch.take(Chunk(4, (b,), 3), (*PROMPT, t))  # behind a at 3, which never came
    assert branch.drafts == []
    assert branch.take(Chunk(4, (x,), 4), (*PROMPT, t))
    assert branch.drafts == [x]
    assert a not in branch.drafts


def test_a_question_is_heard_where_a_chunk_was_lost(branch: Branch) -> None:
    assert branch.take(Chunk(6, (), 3, asks=True), PROMPT)


def test_what_is_behind_drafts_that_were_cut_off_is_not_held(branch: Branch) -> None:
    branch.take(Chunk(3, (4,) * 300, 3), PROMPT)
    branch.take(Chunk(303, (5,), 3), PROMPT)
    assert branch.drafts == [4] * MOST_HELD


def test_chunks_that_know_less_than_one_before_or_more_than_there_is_are_dead(branch: Branch) -> None:
    assert branch.take(Chunk(3, (4,), 3), PROMPT)
    assert not branch.take(Chunk(4, (5,), 2), PROMPT)
    assert not branch.take(Chunk(4, (5,), 4), PROMPT)
    assert branch.drafts == [4]


def test_no_more_is_held_than_the_bound(branch: Branch) -> None:
    branch.take(Chunk(3, (4,) * 200, 3), PROMPT)
    branch.take(Chunk(203, (4,) * 200, 3), PROMPT)
    assert len(branch.drafts) == MOST_HELD


def test_what_is_decided_where_nothing_is_held_says_nothing_of_agreement(branch: Branch, told: Told) -> None:
    branch.decide([4, 5], 3)
    assert told.stood == []


CHUNKS = st.integers(0, 24).flatmap(
    lambda seen: st.builds(
        Chunk,
        st.sampled_from([seen, seen]) | st.integers(seen, seen + 6),
        st.lists(st.integers(0, 1), max_size=6).map(tuple),
        st.just(seen),
    )
)
"""Of two tokens, so that drafts often stand."""


@given(st.lists(CHUNKS | st.lists(st.integers(0, 1), min_size=1, max_size=4), max_size=40))
def test_whatever_comes_in_whatever_order_what_is_held_continues_the_text(
    events: "list[Chunk | list[int]]",
) -> None:
    """Held is what an unbroken row of chunks said of exactly that position; nothing that fell is ever held again."""
    branch, history = Branch(RunningAgreement()), list(PROMPT)
    row: dict[int, int] = {}  # what the chunks of the row say, by position
    fell_at, seen, ends_at, compared_to = -1, -1, -1, 0
    for event in events:
        before = list(branch.drafts)
        if isinstance(event, Chunk):
            is_live, end = branch.take(event, history), event.position + len(event.drafted)
            if event.seen <= fell_at or not seen <= event.seen <= len(history):
                assert not is_live
                assert branch.drafts == before
                continue
            seen = event.seen
            if event.position not in (event.seen, ends_at):
                assert is_live
                assert branch.drafts == before
                ends_at = -1
                continue
            late = range(max(event.position, compared_to), min(len(history), end))
            wrong = [at for at in late if event.drafted[at - event.position] != history[at]]
            if wrong:
                assert not is_live
                assert branch.drafts == []
                fell_at, ends_at, compared_to = wrong[0], -1, wrong[0] + 1
            else:
                assert is_live
                assert branch.drafts[: len(before)] == before
                held = len(history) + len(before)
                row |= {at: token for at, token in enumerate(event.drafted, event.position) if at >= held}
                compared_to = max(compared_to, late.stop) if late else compared_to
                ends_at = end if end <= len(history) + len(branch.drafts) else -1
        else:
            branch.decide(event, len(history))
            stands = [draft == token for draft, token in zip(before, event, strict=False)]
            if all(stands):
                assert branch.drafts == before[len(event) :]
                compared_to = len(history) + len(stands) if stands else compared_to
            else:
                assert branch.drafts == []
                fell_at, ends_at = len(history) + stands.index(False), -1
                compared_to = fell_at + 1
            history += event
        assert len(branch.drafts) <= MOST_HELD
        assert all(row[at] == token for at, token in enumerate(branch.drafts, len(history)))
