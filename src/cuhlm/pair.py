"""Draft and target as a command line names them, joined into a device for as long as it is needed."""

from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cuhlm.data import DRAFT_PROFILE
from cuhlm.device.device import Device
from cuhlm.device.keeping import Keeping
from cuhlm.engines.load import load_engine
from cuhlm.engines.locate import BUILT_IN_DRAFT, BUILT_IN_TARGET, locate
from cuhlm.errors import ConfigurationError, ModelError
from cuhlm.link.base import Link
from cuhlm.link.grpc import GrpcLink, Security
from cuhlm.link.in_process import InProcessLink
from cuhlm.messages import ModelCard, Sampling
from cuhlm.methods import GateRule, Method
from cuhlm.profiles import Profile, load_profile
from cuhlm.settings import Settings
from cuhlm.verifier.host import Verifier
from cuhlm.writable import check_writable


@dataclass(frozen=True, slots=True)
class Reach:
    """Where the target is: at a verifier's address, or in a file to be loaded here. Neither is for `local` only.

    Attributes:
        verifier: HOST:PORT.
        target: a model reference.
        security: for the verifier.
        deadline_seconds: longest wait for one answer of the verifier.
    """

    verifier: str | None = None
    target: str | None = None
    security: Security = Security()
    deadline_seconds: float = 30.0

    def __post_init__(self) -> None:
        if self.verifier and self.target:
            raise ConfigurationError(
                f"both --verifier {self.verifier} and --target {self.target} are given; expected one"
            )


FOR_PEOPLE = Sampling(temperature=0.7, top_p=0.95)
"""Where nobody says otherwise. Experiments state theirs: the whole vocabulary at T = 1 is the paper's."""


def sampling_for(card: ModelCard | None, given: Mapping[str, Any]) -> Sampling:
    """How to sample: each number as it is given, else as the model's file recommends, else as suits people.

    Args:
        card: of the model whose text it is.
        given: by the names of `Sampling`; None where it is not.

    Raises:
        ConfigurationError: a number is out of range.
    """
    usual = card.sampling if card and card.sampling else FOR_PEOPLE
    return replace(usual, **{name: value for name, value in given.items() if value is not None})


def built_in_or(reach: Reach, draft: str, method: Method) -> tuple[Reach, list[str]]:
    """`reach`, or the built-in target where none is named for the built-in draft; and what a person should know of it.

    Raises:
        ConfigurationError: the method needs a target, and there is none.
    """
    if method.gate is GateRule.NEVER or reach.verifier or reach.target:
        return reach, []
    if draft != BUILT_IN_DRAFT:
        raise ConfigurationError(
            f"the method {method.name} needs a target, and none is named; give --verifier HOST:PORT or --target MODEL"
        )
    try:
        locate(BUILT_IN_TARGET)
    except ModelError as error:
        raise ConfigurationError(f"{error}; or give --verifier HOST:PORT or --target MODEL") from error
    note = f"no --verifier and no --target: the built-in {BUILT_IN_TARGET} answers, in this process"
    return replace(reach, target=BUILT_IN_TARGET), [note]


@contextmanager
def open_device(
    draft: str, reach: Reach, *, context: int | None = None, threads: int | None = None
) -> Generator[Device, None, None]:
    """A device with the draft model `draft` and a link as `reach` says; all is closed afterwards.

    Raises:
        ModelError: a model cannot be loaded, or the two do not fit.
        LinkError: the verifier cannot be reached.
    """
    with ExitStack() as stack:
        link = _open_link(reach, context, threads, stack)
        engine = load_engine(draft, context_length=context, threads=threads)
        stack.callback(engine.close)
        yield Device(engine, link)


def _open_link(reach: Reach, context: int | None, threads: int | None, stack: ExitStack) -> Link | None:
    link: Link
    if reach.verifier:
        link = GrpcLink(reach.verifier, security=reach.security, deadline_seconds=reach.deadline_seconds)
    elif reach.target:
        engine = load_engine(reach.target, context_length=context, threads=threads)
        stack.callback(engine.close)
        verifier = Verifier(engine)
        stack.callback(verifier.close)
        link = InProcessLink(verifier)
    else:
        return None
    stack.callback(link.close)
    return link


def read_profile(path: Path | None) -> Profile | None:
    """The profile at `path`, or the built-in one, before it is known whether it fits; None where there is neither.

    Raises:
        ProfileError: `path` holds no profile.
    """
    if path is None and not DRAFT_PROFILE.exists():
        return None
    return load_profile(path or DRAFT_PROFILE)


def check_updatable(path: Path | None, settings: Settings) -> None:
    """Refuse to save audits where there are none, or no file to save them to.

    Raises:
        ConfigurationError: saying so.
    """
    if path is None or settings.risk is None:
        raise ConfigurationError(
            "--profile-update saves to --profile what was audited; expected a profile, and the method opportunistic "
            "with a risk above 0; give both, or leave it out"
        )
    check_writable(path, "the profile")


def save_audited(path: Path | None, profile: Profile | None, keeping: Keeping | None) -> None:
    """Save `profile` to `path`, its score refined by what `keeping` heard.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    assert path is not None and profile is not None and keeping is not None, "it was checked before"
    today = datetime.now(UTC).date().isoformat()
    profile.with_audits(keeping.settings.wrong, keeping.audited, today).save(path)


def find_profile(path: Path | None, draft: ModelCard, target: ModelCard | None) -> Profile | None:
    """The profile at `path`, or the built-in one where it fits the pair; None where there is neither.

    Raises:
        ProfileError: `path` holds no profile, or one of another pair.
    """
    return fitting_profile(read_profile(path), draft, target, is_given=path is not None)


def fitting_profile(
    profile: Profile | None, draft: ModelCard, target: ModelCard | None, *, is_given: bool
) -> Profile | None:
    """`profile`, which must fit the pair if it was given; None where the built-in one does not.

    Raises:
        ProfileError: it was given, and is another pair's.
    """
    if is_given and profile is not None:
        if target is not None:
            profile.check_pair(draft, target)
        return profile
    fits = (
        profile
        and target
        and (profile.draft_fingerprint, profile.target_fingerprint)
        == (
            draft.fingerprint,
            target.fingerprint,
        )
    )
    return profile if fits else None
