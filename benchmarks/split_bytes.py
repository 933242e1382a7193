"""What `split` costs on the socket, and what the law loses where only a part of y comes down.

    python benchmarks/split_bytes.py prompts.jsonl [--per-task 4] [--tokens 48] [--blocks 1 4 8]
        [--entries 0 16 30 64] [--json]

The built-in pair, the verifier a process of its own on loopback, one session a connection, so that the kernel counts
its bytes: TCP payload, with HTTP/2 and gRPC framing, without IP headers. A round is a block and its verdict; the first
and the last of an answer are left out. `y` is the code of y alone, without framing. `error` is the mean TV between the
law of each token and the target's own, exact, along the answer; `bound` the mean of what it never exceeds
(`cuhlm.theory.verification`).
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from draft_agreement import tasks
from reporting import machine
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cuhlm.device.device import Answer, Device, Request, collect
from cuhlm.device.ending import Limits
from cuhlm.engines.base import Engine
from cuhlm.engines.load import load_engine
from cuhlm.engines.locate import BUILT_IN_DRAFT, BUILT_IN_TARGET
from cuhlm.link.grpc import GrpcLink, Security
from cuhlm.measuring.quality import read_along, told_target
from cuhlm.messages import Fate, Sampling
from cuhlm.methods import find_method
from cuhlm.records import TokenRecord
from cuhlm.settings import Settings, settings_for
from cuhlm.theory.distributions import distribution
from cuhlm.theory.quality import total_variation
from cuhlm.theory.verification import resampled_law, resampling_distance
from cuhlm.verifier.process import verifier_process

SAMPLINGS = (Sampling(temperature=1.0), Sampling(temperature=0.7, top_p=0.95))


@dataclass(frozen=True, slots=True)
class Round:
    """One block and its verdict."""

    up: int
    down: int
    law_bits: int
    tokens: int
    is_rejection: bool


@dataclass(frozen=True, slots=True)
class Row:
    """What the rounds of one sampling, block and number of entries cost."""

    sampling: str
    block: int
    entries: int
    rounds: int
    rejections: int
    tokens: int
    up: float
    up_of_95_percent: float
    down_without: float
    down_on_rejection: float
    down_on_rejection_of_95_percent: float
    law_bytes: float
    bytes_a_token: float
    error: float
    bound: float


def mean(values: Sequence[float]) -> float:
    """Of some; NaN of none."""
    return float(np.mean(values)) if values else float("nan")


def below(values: Sequence[float], share: float = 0.95) -> float:
    """What `share` of some stay below; NaN of none."""
    return float(np.quantile(values, share)) if values else float("nan")


def rounds(records: Sequence[TokenRecord]) -> Iterator[Round]:
    """The rounds of an answer but the first, which carries what gRPC says once, and the last, which is cut."""
    starts = [index for index, record in enumerate(records) if record.transmitted]
    for start, end in pairwise(starts[1:]):
        paying = records[start]
        assert paying.wire_bytes_up is not None
        assert paying.wire_bytes_down is not None
        rejected = any(record.fate is Fate.RESAMPLED for record in records[start:end])
        yield Round(paying.wire_bytes_up, paying.wire_bytes_down, paying.law_bits, end - start, rejected)


def errors(
    answer: Answer, prompt: Sequence[int], draft: Engine, target: Engine, settings: Settings, sampling: Sampling
) -> Iterator[tuple[float, float]]:
    """Error and bound of each token's law."""
    size = min(draft.card.vocab_size, target.card.vocab_size)
    rows = (read_along(engine, prompt, answer.tokens, size) for engine in (draft, target))
    for draft_logits, target_logits in zip(*rows, strict=True):
        x, y = distribution(draft_logits, sampling), distribution(target_logits, sampling)
        told = told_target(settings, y)
        yield total_variation(resampled_law(x, y, told), y), resampling_distance(x, y, told)


def row(
    device: Device,
    target: Engine,
    prompts: Sequence[tuple[int, ...]],
    sampling: Sampling,
    settings: Settings,
    tokens: int,
) -> Row:
    """Measure one row."""
    made, wrong = list[Round](), list[tuple[float, float]]()
    for seed, prompt in enumerate(prompts):
        answer = collect(device.generate(settings, Request(prompt, sampling, seed, Limits(tokens))))
        made += rounds(answer.records)
        wrong += errors(answer, prompt, device.draft, target, settings, sampling)
    rejected, stood = [each for each in made if each.is_rejection], [each for each in made if not each.is_rejection]
    error, bound = np.mean(wrong, axis=0)
    decided = sum(each.tokens for each in made)
    return Row(
        sampling=str(sampling),
        block=settings.block,
        entries=settings.law_entries,
        rounds=len(made),
        rejections=len(rejected),
        tokens=decided,
        up=mean([each.up for each in made]),
        up_of_95_percent=below([each.up for each in made]),
        down_without=mean([each.down for each in stood]),
        down_on_rejection=mean([each.down for each in rejected]),
        down_on_rejection_of_95_percent=below([each.down for each in rejected]),
        law_bytes=mean([each.law_bits / 8 for each in rejected]),
        bytes_a_token=sum(each.up + each.down for each in made) / decided,
        error=float(error),
        bound=float(bound),
    )


def table(rows: Sequence[Row]) -> Table:
    """For people; means, and in brackets what 95 % stay below."""
    heads = ("sampling", "block", "K", "up a round", "down, none falls", "down, one falls", "y", "a token", "error")
    shown = Table(*heads, "bound", "rounds, fell, tokens", header_style="bold")
    for each in rows:
        shown.add_row(
            each.sampling,
            str(each.block),
            str(each.entries or "all"),
            f"{each.up:.0f} [{each.up_of_95_percent:.0f}]",
            f"{each.down_without:.0f}",
            f"{each.down_on_rejection:.0f} [{each.down_on_rejection_of_95_percent:.0f}]",
            f"{each.law_bytes:.0f}",
            f"{each.bytes_a_token:.0f}",
            f"{each.error:.4f}",
            f"{each.bound:.4f}",
            f"{each.rounds}, {each.rejections}, {each.tokens}",
        )
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("prompts", type=Path)
    parser.add_argument("--per-task", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--blocks", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--entries", type=int, nargs="+", default=[0, 16, 30, 64])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    console = Console(width=160, stderr=options.json)
    cells = [(each, block, k) for each in SAMPLINGS for block in options.blocks for k in options.entries]
    with ExitStack() as stack:
        running = stack.enter_context(verifier_process(BUILT_IN_TARGET, threads=1))
        draft, target = (
            stack.enter_context(load_engine(name, threads=1)) for name in (BUILT_IN_DRAFT, BUILT_IN_TARGET)
        )
        link = stack.enter_context(closing(GrpcLink(running.address, security=Security(running.token))))
        device = stack.enter_context(Device(draft, link))
        texts = [text for some in tasks(options.prompts, options.per_task).values() for text in some]
        prompts = [device.prompt(text) for text in texts]
        rows = [
            row(
                device,
                target,
                prompts,
                sampling,
                settings_for(find_method("split"), None, block=block, law_entries=k),
                options.tokens,
            )
            for sampling, block, k in track(cells, "measuring", console=console)
        ]
    if options.json:
        print(json.dumps({"machine": machine(), "prompts": len(prompts), "rows": [asdict(r) for r in rows]}, indent=1))
        return
    console.print(table(rows))
    console.print(f"{len(prompts)} prompts, {options.tokens} tokens each,", machine())


if __name__ == "__main__":
    main()
