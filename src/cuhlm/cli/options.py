"""Options that several commands share, each written once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import typer

Choice = TypeVar("Choice", bound=StrEnum)

SAMPLING = "Sampling"
METHOD = "Method"
MODELS = "Models"
LINK = "Link"

_MODEL_HELP = "A GGUF file, hf:OWNER/REPO/FILE.gguf, or a built-in name"

Draft = Annotated[
    str, typer.Option("--draft", metavar="MODEL", help=f"Draft model. {_MODEL_HELP}.", rich_help_panel=MODELS)
]
Target = Annotated[
    str | None,
    typer.Option("--target", metavar="MODEL", help="Target model, run in this process.", rich_help_panel=MODELS),
]
TargetRequired = Annotated[
    str, typer.Option("--target", metavar="MODEL", help=f"Target model. {_MODEL_HELP}.", rich_help_panel=MODELS)
]
Context = Annotated[
    int | None,
    typer.Option("--context", help="Tokens a sequence can hold; default: 2048.", rich_help_panel=MODELS),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", help="Threads per model; default: all cores of this process.", rich_help_panel=MODELS),
]
VerifierAddress = Annotated[
    str | None, typer.Option("--verifier", metavar="HOST:PORT", help="A running verifier.", rich_help_panel=LINK)
]
Token = Annotated[
    str | None,
    typer.Option("--token", envvar="CUHLM_TOKEN", help="The verifier's access token.", rich_help_panel=LINK),
]
Insecure = Annotated[
    bool,
    typer.Option("--insecure", help="Send the token over a network without TLS, in clear.", rich_help_panel=LINK),
]
TlsCa = Annotated[
    Path | None,
    typer.Option("--tls-ca", metavar="PEM", help="Talk TLS; certificate authority to trust.", rich_help_panel=LINK),
]
Deadline = Annotated[
    float, typer.Option("--deadline", help="Longest wait for an answer of the verifier, seconds.", rich_help_panel=LINK)
]
MethodName = Annotated[
    str, typer.Option("--method", "-m", help="See `cuhlm describe --methods`.", rich_help_panel=METHOD)
]
ProfilePath = Annotated[
    Path | None,
    typer.Option(
        "--profile", metavar="FILE", help="The pair's profile, from `cuhlm calibrate`.", rich_help_panel=METHOD
    ),
]
Threshold = Annotated[
    str,
    typer.Option(
        "--threshold",
        metavar="RULE",
        help="u_th: risk-averse, risk-prone, or a number from 0 (ask unless certain) to 1 (never ask).",
        rich_help_panel=METHOD,
    ),
]
FixedK = Annotated[
    int | None,
    typer.Option("-k", help="Entries that cu-hlm-offline sends; default: the profile's.", rich_help_panel=METHOD),
]
Vartheta = Annotated[
    float | None,
    typer.Option(
        "--distortion", help="Bound ϑ of cu-hlm's truncation; default: the profile's.", rich_help_panel=METHOD
    ),
]
DraftFromLaw = Annotated[
    str,
    typer.Option(
        "--draft-from",
        metavar="LAW",
        help="x (the paper's) or xhat (exact for every k): the law a sent draft is drawn from.",
        rich_help_panel=METHOD,
    ),
]
BlockLength = Annotated[
    int | None,
    typer.Option(
        "--block",
        help="Drafted tokens per request, of hlm, cu-hlm and split; default: 1, the paper's, and 4 of split.",
        rich_help_panel=METHOD,
    ),
]
LawEntries = Annotated[
    int,
    typer.Option(
        "--y-entries",
        help="Of split: entries of y that come down where a draft falls; 0 is all of it, exactly.",
        rich_help_panel=METHOD,
    ),
]
Patience = Annotated[
    float,
    typer.Option(
        "--patience",
        metavar="SECONDS",
        help="How long the target waits for drafts of lossless: 0 is fastest; inf makes the fewest passes.",
        rich_help_panel=METHOD,
    ),
]
Risk = Annotated[
    float,
    typer.Option(
        "--risk",
        metavar="SHARE",
        help="Of opportunistic: share of tokens that may be kept and wrong; 0 is lossless.",
        rich_help_panel=METHOD,
    ),
]
WrongMeans = Annotated[
    str,
    typer.Option(
        "--wrong",
        metavar="MEANING",
        help="What counts as wrong of a kept token: plausible (the target would hardly have written it), beta (the "
        "chance that it would be rejected), keyed (the target draws another).",
        rich_help_panel=METHOD,
    ),
]
ProfileUpdate = Annotated[
    bool,
    typer.Option(
        "--profile-update",
        help="Of opportunistic: let the profile's score follow what was audited, and save it to --profile.",
        rich_help_panel=METHOD,
    ),
]
Relaxed = Annotated[
    bool,
    typer.Option(
        "--relaxed",
        help="Of lossless and opportunistic: let plausible drafts stand, too, that are not the target's own tokens.",
        rich_help_panel=METHOD,
    ),
]
Temperature = Annotated[float, typer.Option("--temperature", "-t", help="0 is greedy.", rich_help_panel=SAMPLING)]
TopK = Annotated[int, typer.Option("--top-k", help="0 is off.", rich_help_panel=SAMPLING)]
TopP = Annotated[float, typer.Option("--top-p", help="1 is off.", rich_help_panel=SAMPLING)]
MinP = Annotated[float, typer.Option("--min-p", help="0 is off.", rich_help_panel=SAMPLING)]
OwnTemperature = Annotated[
    float | None,
    typer.Option(
        "--temperature", "-t", help="0 is greedy; default: what the target's file recommends, else 0.7.",
        rich_help_panel=SAMPLING,
    ),
]  # fmt: skip
OwnTopK = Annotated[
    int | None,
    typer.Option("--top-k", help="0 is off; default: as recommended, else 0.", rich_help_panel=SAMPLING),
]
OwnTopP = Annotated[
    float | None,
    typer.Option("--top-p", help="1 is off; default: as recommended, else 0.95.", rich_help_panel=SAMPLING),
]
OwnMinP = Annotated[
    float | None,
    typer.Option("--min-p", help="0 is off; default: as recommended, else 0.", rich_help_panel=SAMPLING),
]
Seed = Annotated[int, typer.Option("--seed", help="The same seed gives the same answer.", rich_help_panel=SAMPLING)]
MaxTokens = Annotated[int, typer.Option("--max-tokens", "-n", help="Longest answer.", rich_help_panel=SAMPLING)]
Stop = Annotated[
    list[str] | None,
    typer.Option("--stop", help="End before this text; may be given more than once.", rich_help_panel=SAMPLING),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


def one_of(kind: type[Choice], name: str, option: str) -> Choice:
    """The member of `kind` called `name`.

    Raises:
        ConfigurationError: there is none of that name.
    """
    from cuhlm.errors import ConfigurationError

    try:
        return kind(name)
    except ValueError:
        raise ConfigurationError(f"{option} is {name!r}; expected one of {', '.join(kind)}") from None
