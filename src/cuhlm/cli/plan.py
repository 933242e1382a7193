"""`cuhlm plan`: what to expect of each method on a link."""

from pathlib import Path
from typing import Annotated

import typer

from cuhlm.cli import options

COST = "Costs"


def plan(
    profile: options.ProfilePath = None,
    channel: Annotated[
        str, typer.Option("--channel", help="See `cuhlm describe --channels`.", rich_help_panel=options.LINK)
    ] = "lte",
    rtt: Annotated[
        float | None, typer.Option("--rtt", metavar="MS", help="Round trip.", rich_help_panel=options.LINK)
    ] = None,
    mbps: Annotated[
        float | None,
        typer.Option("--mbps", help="Rate up, where it is fixed.", rich_help_panel=options.LINK),
    ] = None,
    down_mbps: Annotated[
        float | None, typer.Option("--down-mbps", help="Rate down.", rich_help_panel=options.LINK)
    ] = None,
    compute: Annotated[
        str, typer.Option("--compute", metavar="TABLE", help="What passes take, by name.", rich_help_panel=COST)
    ] = "laptop-1b-server-70b",
    draft_ms: Annotated[
        float | None, typer.Option("--draft-ms", help="A drafted token, instead.", rich_help_panel=COST)
    ] = None,
    target_ms: Annotated[
        float | None, typer.Option("--target-ms", help="A pass of the target, instead.", rich_help_panel=COST)
    ] = None,
    row_ms: Annotated[
        float | None, typer.Option("--row-ms", help="Each further position in it, instead.", rich_help_panel=COST)
    ] = None,
    risk: options.Risk = 0.02,
    with_map: Annotated[bool, typer.Option("--map", help="Also show which method wins where.")] = False,
    svg: Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Draw the map to this file.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Say what each method would give on a link: tokens a second, bytes, target passes, risk; and which is best where.

    Examples:

    - `cuhlm plan --rtt 100 --mbps 5 --map`

    - `cuhlm plan --profile pair.json --channel 3g --draft-ms 12 --target-ms 30 --row-ms 0.3 --svg map.svg`
    """
    from cuhlm.channel.compute import find_compute
    from cuhlm.channel.presets import find_channel
    from cuhlm.cli.show_plan import show_plan
    from cuhlm.measuring.plan import costs_for, costs_of_table
    from cuhlm.pair import read_profile

    settings = (("rtt_ms", rtt), ("mbps", mbps), ("down_mbps", down_mbps))
    link = find_channel(":".join([channel, *(f"{name}={value}" for name, value in settings if value is not None)]))
    usual = costs_of_table(find_compute(compute))
    milliseconds = (draft_ms, target_ms, row_ms)
    given = [None if each is None else each / 1000 for each in milliseconds]
    costs = costs_for(*(each if own is None else own for own, each in zip(given, usual, strict=True)))
    show_plan(read_profile(profile), link, costs, risk, with_map=with_map, svg=svg, as_json=as_json)
