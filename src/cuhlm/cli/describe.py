"""`cuhlm describe`: model cards, and whether a pair fits."""

from typing import Annotated

import typer

from cuhlm.cli import options


def describe(
    draft: options.Draft = "smollm2-draft",
    verifier: options.VerifierAddress = None,
    target: options.Target = None,
    token: options.Token = None,
    tls_ca: options.TlsCa = None,
    insecure: options.Insecure = False,
    deadline: options.Deadline = 30.0,
    profile: options.ProfilePath = None,
    methods: Annotated[bool, typer.Option("--methods", help="List the methods instead.")] = False,
    channels: Annotated[bool, typer.Option("--channels", help="List the simulated channels instead.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Show the draft's and the target's model cards, whether the two fit, and their profile.

    Examples: `cuhlm describe --target smollm2-135m`, `cuhlm describe --methods`, `cuhlm describe --channels`
    """
    from cuhlm.cli import show_cards

    if methods:
        show_cards.print_methods()
        return
    if channels:
        show_cards.print_channels()
        return

    from cuhlm.link.grpc import Security
    from cuhlm.pair import Reach, find_profile, open_device

    reach = Reach(verifier, target, Security(token, tls_ca, insecure), deadline)
    with open_device(draft, reach) as device:
        found = find_profile(profile, device.draft.card, device.target)
        show_cards.print_pair(device, found, as_json=as_json)
