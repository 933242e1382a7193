"""Task scores."""

from itertools import combinations

import pytest

from cuhlm.measuring.scores import exact_match, rouge_l


@pytest.mark.parametrize(
    ("text", "answer", "right"),
    [
        ("So she makes 9 * 2 = $18 every day.", "18", True),
        ("The final answer is \\boxed{18}. (That is 9 * 2.)", "18", True),
        ("\\boxed{17} no, \\boxed{18} it is; 5 eggs are left.", "18", True),
        ("It costs $1,200.", "1200", True),
        ("1,200.00 dollars", "1,200", True),
        ("#### -3", "-3", True),
        ("It fell to $-3.", "-3", True),
        ("x = -3", "3", False),
        ("See pages 12-15", "15", True),
        ("See pages 12-15", "-15", False),
        ("\\boxed{step-3}", "3", True),
        ("#### 18\n", "18", True),
        ("She makes 18 dollars on 7 days.", "18", False),
        ("\\boxed{eighteen}", "18", False),
        ("I do not know.", "18", False),
        ("", "18", False),
    ],
)
def test_the_final_number_decides(text: str, answer: str, right: bool) -> None:
    assert exact_match(text, answer) is right


def common(a: list[str], b: list[str]) -> int:
    """Longest common subsequence by trying all of them."""
    for size in range(min(len(a), len(b)), 0, -1):
        if {tuple(a[i] for i in c) for c in combinations(range(len(a)), size)} & {
            tuple(b[i] for i in c) for c in combinations(range(len(b)), size)
        }:
            return size
    return 0


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("The cat sat on the mat.", "the mat sat on a cat"),
        ("a b c d e f", "b d f a c e"),
        ("one two", "three four"),
        ("Le chat dort", "le CHAT dort!"),
    ],
)
def test_rouge_l_is_the_f1_of_the_longest_common_subsequence(text: str, reference: str) -> None:
    ours, theirs = text.lower().strip(".!").split(), reference.lower().strip(".!").split()
    length = common(ours, theirs)
    assert rouge_l(text, reference) == pytest.approx(2 * length / (len(ours) + len(theirs)))


def test_nothing_said_scores_nothing() -> None:
    assert rouge_l("", "words") == rouge_l("words", "") == 0
