"""Many sessions at one verifier, with good, bad and random drafts: who gains, and who is later than by streaming?

    python -m benchmarks.lossless.sessions [--recorded FILE] [--tokens 96] [--json]

Devices and verifier are one process, each draft model in a thread of its own, over a link of no length. Passes are
padded: a draft 15 ms, the target 40 ms and 1 % of it for each further row, whoever's. Recorded answers are replayed;
their ids are folded into a vocabulary of 4096, so that the arithmetic of 16 devices fits two cores.
"""

import argparse
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from benchmarks.lossless.cells import ROW
from benchmarks.lossless.node import SAMPLING
from benchmarks.lossless.recorded import QWEN, Recorded, recorded
from benchmarks.lossless.replay_engine import ReplayEngine, replayed_prompt
from benchmarks.reporting import machine
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cuhlm.device.device import Device, Request
from cuhlm.device.ending import Limits
from cuhlm.link.in_process import InProcessLink
from cuhlm.methods import find_method
from cuhlm.settings import Settings
from cuhlm.testing import PaddedEngine
from cuhlm.theory.pacing import PassTime
from cuhlm.verifier.host import Verifier

VOCAB = 4096
DRAFT_SECONDS, TARGET_SECONDS = 0.015, 0.040
COUNTS = (1, 2, 4, 8, 16)
KINDS = ("good", "bad", "random")
BAD = 0.4
"""Of the right drafts of a bad device, those that it has left."""


@dataclass(frozen=True, slots=True)
class Shared:
    """The sessions of one kind among all that ran together.

    Attributes:
        sessions: how many ran together.
        kind: of draft.
        agreement: share of positions where the draft is the target's token.
        tokens_per_s: mean over the sessions of this kind.
        over_remote: that, over the same sessions when all stream from the target.
        slowest: the worst of these ratios.
        passes: of the target that a token of these sessions took part in.
    """

    sessions: int
    kind: str
    agreement: float
    tokens_per_s: float
    over_remote: float
    slowest: float
    passes: float


def folded(answer: Recorded, kind: str, tokens: int, rng: np.random.Generator) -> Recorded:
    """The beginning of an answer in the small vocabulary, with drafts of a kind."""
    text = [token % VOCAB for token in answer.tokens[:tokens]]
    keep = {"good": 1.0, "bad": BAD, "random": 0.0}[kind]
    drafts = [
        draft % VOCAB if rng.random() < keep else (token + 1) % VOCAB
        for token, draft in zip(text, answer.drafts, strict=False)
    ]
    prompt = [token % VOCAB for token in answer.prompt_tokens]
    return replace(answer, prompt_tokens=prompt, tokens=text, drafts=drafts)


def together(answers: Sequence[Recorded], method: str) -> tuple[list[float], list[float]]:
    """Seconds from first to last token, and passes per token, of each answer, when all are made at once."""
    settings = Settings(find_method(method))
    with ExitStack() as stack:
        target = PaddedEngine(ReplayEngine(answers, "tokens", VOCAB), PassTime(TARGET_SECONDS, ROW * TARGET_SECONDS))
        verifier = stack.enter_context(closing(Verifier(target, max_sessions=len(answers))))
        draft = PaddedEngine(ReplayEngine(answers, "drafts", VOCAB), PassTime(DRAFT_SECONDS, 0.1 * DRAFT_SECONDS))
        link = InProcessLink(verifier)
        link.shares_machine = False  # padded passes slow nobody
        devices = [stack.enter_context(closing(Device(draft, link))) for _ in answers]

        def run(index: int) -> tuple[float, float]:
            answer = answers[index]
            request = Request(replayed_prompt(index, answer), SAMPLING, answer.seed, Limits(len(answer.tokens)))
            emits, delivered = [], []
            for emit in devices[index].generate(settings, request):
                delivered.append(time.monotonic())
                emits.append(emit)
            assert [emit.record.token for emit in emits] == answer.tokens, "the text is the target's"
            return delivered[-1] - delivered[0], sum(emit.record.target_passes for emit in emits) / len(emits)

        with ThreadPoolExecutor(len(answers)) as pool:
            spans = list(pool.map(run, range(len(answers))))
    return [span for span, _ in spans], [passes for _, passes in spans]


def measure(count: int, answers: Sequence[Recorded], tokens: int) -> list[Shared]:
    """`count` sessions at once, of kinds in turn, with both methods."""
    rng = np.random.default_rng(count)
    kinds = [KINDS[index % len(KINDS)] for index in range(count)]
    chosen = [folded(answers[index % len(answers)], kind, tokens, rng) for index, kind in enumerate(kinds)]
    remote, _ = together(chosen, "remote")
    ours, passes = together(chosen, "lossless")
    found = []
    for kind in dict.fromkeys(kinds):
        of = [index for index in range(count) if kinds[index] == kind]
        ratios = [remote[index] / ours[index] for index in of]
        found.append(
            Shared(
                count,
                kind,
                float(np.mean([agree for index in of for agree in chosen[index].agrees])),
                float(np.mean([(len(chosen[index].tokens) - 1) / ours[index] for index in of])),
                float(np.mean(ratios)),
                min(ratios),
                float(np.mean([passes[index] for index in of])),
            )
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Many sessions at one verifier.")
    parser.add_argument("--recorded", type=Path, default=QWEN, help="made by benchmarks.lossless.record")
    parser.add_argument("--tokens", type=int, default=96, help="of each answer")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    long_enough = [
        each
        for each in recorded(options.recorded)
        if each.temperature == SAMPLING.temperature and len(each.tokens) >= options.tokens
    ]
    counts = track(COUNTS, "sessions", console=Console(stderr=True), transient=True)
    found = [each for count in counts for each in measure(count, long_enough, options.tokens)]
    if options.json:
        print(json.dumps({"machine": machine(), "sessions": [asdict(each) for each in found]}, indent=1))
        return
    table = Table(title="sessions at one verifier; all on `lossless` over all on `remote`")
    for heading in ("sessions", "draft", "agreement", "tokens/s", "over `remote`", "slowest", "passes a token"):
        table.add_column(heading, justify="left" if heading == "draft" else "right")
    for each in found:
        table.add_row(
            str(each.sessions),
            each.kind,
            f"{each.agreement:.2f}",
            f"{each.tokens_per_s:.1f}",
            f"{each.over_remote:.2f}",
            f"{each.slowest:.2f}",
            f"{each.passes:.2f}",
        )
    Console(width=120).print(table, machine(), sep="\n")


if __name__ == "__main__":
    main()
