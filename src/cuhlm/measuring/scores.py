"""Task scores: whether a sum comes out right, and how much of a reference an answer says (design 2.9)."""

import re
from collections.abc import Sequence

_NUMBER = re.compile(r"(?:(?<!\w)-)?\d[\d,]*(?:\.\d+)?")  # the hyphen of "pages 12-15" is no minus
_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")


def exact_match(text: str, answer: str) -> bool:
    """Whether the final number of `text` is `answer` (GSM8K's score).

    The final number is the one in the last ``\\boxed{…}``, else after the last ``####``, else the last one.
    """
    wanted, said = _last_number(answer), _final_number(text)
    return wanted is not None and said is not None and said == wanted


def _final_number(text: str) -> float | None:
    boxed = _BOXED.findall(text)
    if boxed:
        return _last_number(boxed[-1])
    return _last_number(text.rsplit("####", 1)[-1])


def _last_number(text: str) -> float | None:
    numbers = _NUMBER.findall(text)
    return float(numbers[-1].replace(",", "")) if numbers else None


def rouge_l(text: str, reference: str) -> float:
    """ROUGE-L (Lin, 2004): F1 of the longest common subsequence of words, lower-cased, in [0, 1]."""
    ours, theirs = _words(text), _words(reference)
    if not ours or not theirs:
        return 0.0
    common = _longest_common_subsequence(ours, theirs)
    return 2 * common / (len(ours) + len(theirs))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _longest_common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    row = [0] * (len(b) + 1)
    for word in a:
        before = 0
        for column, other in enumerate(b, 1):
            before, row[column] = row[column], before + 1 if word == other else max(row[column], row[column - 1])
    return row[-1]
