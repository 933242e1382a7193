"""`cuhlm generate`: answer one prompt."""

from pathlib import Path
from typing import Annotated

import typer

from cuhlm.cli import options


def generate(
    prompt: Annotated[str, typer.Argument(help="The user's message.")],
    draft: options.Draft = "smollm2-draft",
    verifier: options.VerifierAddress = None,
    target: options.Target = None,
    token: options.Token = None,
    tls_ca: options.TlsCa = None,
    deadline: options.Deadline = 30.0,
    method: options.MethodName = "lossless",
    profile: options.ProfilePath = None,
    threshold: options.Threshold = "risk-averse",
    k: options.FixedK = None,
    distortion: options.Vartheta = None,
    draft_from: options.DraftFromLaw = "x",
    block: options.BlockLength = 1,
    patience: options.Patience = 0.0,
    temperature: options.Temperature = 1.0,
    top_k: options.TopK = 0,
    top_p: options.TopP = 1.0,
    min_p: options.MinP = 0.0,
    seed: options.Seed = 0,
    max_tokens: options.MaxTokens = 256,
    stop: options.Stop = None,
    system: Annotated[str | None, typer.Option("--system", help="A system message before the prompt.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="The prompt as it is, without the chat template.")] = False,
    trace: Annotated[Path | None, typer.Option("--trace", help="Write one JSON line per token to this file.")] = None,
    fates: Annotated[bool, typer.Option("--fates/--plain", help="Colour tokens by fate and sum up.")] = True,
    context: options.Context = None,
    threads: options.Threads = None,
) -> None:
    """Answer PROMPT with the draft model here and the target behind a verifier.

    Examples:

    - `cuhlm generate "Name three fruits." --target smollm2-135m`

    - `cuhlm generate "Name three fruits." --verifier 127.0.0.1:50051 --method hlm --trace out.jsonl`
    """
    from cuhlm.cli.show_answer import stream_answer
    from cuhlm.device.device import Request
    from cuhlm.device.ending import Limits
    from cuhlm.link.grpc import Security
    from cuhlm.measuring.prompts import encode_prompt
    from cuhlm.messages import Sampling
    from cuhlm.methods import DraftFrom, find_method
    from cuhlm.pair import Reach, find_profile, open_device
    from cuhlm.settings import sampling_note, settings_for
    from cuhlm.writable import check_writable

    if trace is not None:
        check_writable(trace, "the trace")
    chosen = find_method(method)
    sampling = Sampling(temperature, top_k, top_p, min_p)
    reach = Reach(verifier, target, Security(token, tls_ca), deadline)
    with open_device(draft, reach, context=context, threads=threads) as device:
        device.check_reach(chosen)
        numbers = find_profile(profile, device.draft.card, device.target)
        settings = settings_for(
            chosen,
            numbers,
            threshold=threshold,
            k=k,
            vartheta=distortion,
            draft_from=options.one_of(DraftFrom, draft_from, "--draft-from"),
            patience_seconds=patience,
            block=block,
        )
        tokens = encode_prompt(device.draft.tokenizer, prompt, system=system, raw=raw)
        request = Request(tokens, sampling, seed, Limits(max_tokens, tuple(stop or ())))
        note = sampling_note(settings, numbers, sampling)
        stream_answer(device, settings, request, note=note, trace=trace, fates=fates)
