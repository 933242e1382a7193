"""Record a pair: `python -m benchmarks.lossless.record DRAFT TARGET PROMPTS.jsonl... --out FILE [--limit 8]`.

Of each prompt file `--limit` prompts, spread evenly, at each temperature; what is in FILE already is not made again.
"""

import argparse
from contextlib import closing
from pathlib import Path

import msgspec
from benchmarks.lossless.recorded import record, recorded
from rich.progress import track

from cuhlm.engines.load import load_engine
from cuhlm.engines.prompting import encode_prompt
from cuhlm.measuring.prompts import read_prompts

TEMPERATURES = (0.7, 1.0, 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description="Record what a pair says along its target's own answers.")
    parser.add_argument("draft")
    parser.add_argument("target")
    parser.add_argument("prompts", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=8, help="prompts of each file")
    parser.add_argument("--tokens", type=int, default=160, help="per answer at most")
    options = parser.parse_args()
    prompts = [prompt for path in options.prompts for prompt in read_prompts(path, options.limit)]
    done = {(each.prompt, each.temperature) for each in recorded(options.out)} if options.out.exists() else set()
    todo = [(number, each, t) for t in TEMPERATURES for number, each in enumerate(prompts) if (each.id, t) not in done]
    with (
        closing(load_engine(options.draft, context_length=2048)) as draft,
        closing(load_engine(options.target, context_length=2048)) as target,
        options.out.open("a", encoding="utf-8", buffering=1) as out,
    ):
        for number, prompt, temperature in track(todo, "recording"):
            tokens = encode_prompt(target.tokenizer, target.card.chat, prompt.text)
            answer = record(draft, target, prompt.id, tokens, temperature, number, options.tokens)
            out.write(msgspec.json.encode(answer).decode() + "\n")


if __name__ == "__main__":
    main()
