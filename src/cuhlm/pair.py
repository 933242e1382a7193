"""Draft and target as a command line names them, joined into a device for as long as it is needed."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cuhlm.data import DRAFT_PROFILE
from cuhlm.device.device import Device
from cuhlm.engines.load import load_engine
from cuhlm.errors import ConfigurationError
from cuhlm.link.base import Link
from cuhlm.link.grpc import GrpcLink, Security
from cuhlm.link.in_process import InProcessLink
from cuhlm.messages import ModelCard
from cuhlm.profiles import Profile, load_profile
from cuhlm.verifier.host import Verifier


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


def find_profile(path: Path | None, draft: ModelCard, target: ModelCard | None) -> Profile | None:
    """The profile at `path`, or the built-in one where it fits the pair; None where there is neither.

    Raises:
        ProfileError: `path` holds no profile, or one of another pair.
    """
    if path is not None:
        profile = load_profile(path)
        if target is not None:
            profile.check_pair(draft, target)
        return profile
    if not DRAFT_PROFILE.exists():
        return None
    built_in = load_profile(DRAFT_PROFILE)
    fits = target is not None and (built_in.draft_fingerprint, built_in.target_fingerprint) == (
        draft.fingerprint,
        target.fingerprint,
    )
    return built_in if fits else None
