"""Recorded answers that nobody can read: `python -m benchmarks.lossless.relabel RECORDED OUT`.

Every answer gets ids of its own: what was equal is equal, and takes as many bytes on the wire. So whoever may not have
the prompts, or the answers, can still replay them.
"""

import argparse
import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import msgspec
from benchmarks.lossless.recorded import Recorded, recorded
from benchmarks.lossless.replay_engine import VOCAB

_VARINTS = (2**7, 2**14, VOCAB)
"""Ids below these take one, two and three bytes of protobuf."""


def relabelled(answer: Recorded) -> Recorded:
    """The same with other ids."""
    ids = {each for of in (answer.prompt_tokens, answer.tokens, answer.drafts, answer.runner_ups) for each in of}
    new = {-1: -1}
    for low, high in pairwise((0, *_VARINTS)):
        these = [each for each in ids if low <= each < high]
        new |= zip(these, random.SystemRandom().sample(range(low, high), len(these)), strict=True)

    def renamed(of: list[int]) -> list[int]:
        return [new[each] for each in of]

    return replace(
        answer,
        prompt_tokens=renamed(answer.prompt_tokens),
        tokens=renamed(answer.tokens),
        drafts=renamed(answer.drafts),
        runner_ups=renamed(answer.runner_ups),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Make recorded answers unreadable.")
    parser.add_argument("recorded", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    lines = [msgspec.json.encode(relabelled(each)).decode() + "\n" for each in recorded(options.recorded)]
    options.out.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
