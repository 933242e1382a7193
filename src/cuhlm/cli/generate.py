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
    insecure: options.Insecure = False,
    deadline: options.Deadline = 30.0,
    method: options.MethodName = "lossless",
    profile: options.ProfilePath = None,
    threshold: options.Threshold = "risk-averse",
    k: options.FixedK = None,
    distortion: options.Vartheta = None,
    draft_from: options.DraftFromLaw = "x",
    block: options.BlockLength = None,
    y_entries: options.LawEntries = 0,
    patience: options.Patience = 0.0,
    risk: options.Risk = 0.02,
    wrong: options.WrongMeans = "plausible",
    relaxed: options.Relaxed = False,
    profile_update: options.ProfileUpdate = False,
    temperature: options.OwnTemperature = None,
    top_k: options.OwnTopK = None,
    top_p: options.OwnTopP = None,
    min_p: options.OwnMinP = None,
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

    - `cuhlm generate "Name three fruits." --target smollm2-135m --method opportunistic --risk 0.05`
    """
    from dataclasses import replace
    from functools import partial

    from cuhlm.cli.show_answer import stream_answer
    from cuhlm.device.device import Request
    from cuhlm.device.ending import Limits
    from cuhlm.device.keeping import Keeping
    from cuhlm.link.grpc import Security
    from cuhlm.methods import DraftFrom, find_method
    from cuhlm.pair import (
        Reach,
        built_in_or,
        check_updatable,
        fitting_profile,
        open_device,
        read_profile,
        sampling_for,
        save_audited,
    )
    from cuhlm.settings import sampling_note, settings_for
    from cuhlm.theory.score import Wrong
    from cuhlm.writable import check_writable

    if trace is not None:
        check_writable(trace, "the trace")
    chosen = find_method(method)
    with_numbers = partial(
        settings_for,
        chosen,
        threshold=threshold,
        k=k,
        vartheta=distortion,
        draft_from=options.one_of(DraftFrom, draft_from, "--draft-from"),
        patience_seconds=patience,
        block=block,
        law_entries=y_entries,
        risk=risk,
        wrong=options.one_of(Wrong, wrong, "--wrong"),
        relaxed=relaxed,
    )
    given = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
    # Before a model is loaded, which takes seconds: the numbers that the pair will give cannot be wrong, these can.
    request = Request((0,), sampling_for(None, given), seed, Limits(max_tokens, tuple(stop or ())))
    read = read_profile(profile)
    before = with_numbers(read)
    if profile_update:
        check_updatable(profile, before)
    reach, notes = built_in_or(Reach(verifier, target, Security(token, tls_ca, insecure), deadline), draft, chosen)
    with open_device(draft, reach, context=context, threads=threads) as device:
        numbers = fitting_profile(read, device.draft.card, device.target, is_given=profile is not None)
        settings = with_numbers(numbers)
        sampling = sampling_for(device.target or device.draft.card, given)
        request = replace(request, prompt=device.prompt(prompt, system=system, raw=raw), sampling=sampling)
        notes += [*device.notes, sampling_note(settings, numbers, sampling)]
        keeping = Keeping(settings.risk) if settings.risk else None
        stream_answer(device, settings, request, keeping=keeping, notes=notes, trace=trace, fates=fates)
    if profile_update:
        save_audited(profile, numbers, keeping)
