"""A toy draft and target joined by an in-process link: the whole path of a token without a model file or a socket."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from cuhlm.device.device import Answer, Device, Request, collect
from cuhlm.device.ending import Limits
from cuhlm.link.in_process import InProcessLink
from cuhlm.messages import Sampling
from cuhlm.methods import DraftFrom, find_method
from cuhlm.profiles import UncertaintySettings
from cuhlm.settings import RiskSettings, Settings
from cuhlm.testing import ToyEngine
from cuhlm.theory.control import Budget
from cuhlm.theory.rejection import RejectionModel
from cuhlm.theory.score import RiskScore
from cuhlm.verifier.host import Verifier

VOCAB = 12
PROMPT = (1, 2, 3)
REJECTION = RejectionModel(a=0.8, b=0.0, pearson_r=0.6, r_squared=0.36, n=100, residual_std=0.2)
RISK = RiskSettings(Budget(0.05, begins_at=0.2, most_pending=16), RiskScore(-2.0, (0.7, 1.0, 0.0, 0.3)), audit_every=8)


@contextmanager
def toy_device(*, vocab_size: int = VOCAB, end_token: int | None = None, context_length: int = 512) -> Iterator[Device]:
    """A device whose draft is a noisy version of its verifier's target."""
    target = ToyEngine(vocab_size=vocab_size, seed=5, end_token=end_token, context_length=context_length)
    draft = ToyEngine(vocab_size=vocab_size, seed=5, noise=0.6, end_token=end_token, context_length=context_length)
    with closing(Verifier(target, max_sessions=2)) as verifier:
        yield Device(draft, InProcessLink(verifier))


def settings(
    method: str, *, threshold: float = 0.5, draft_from: DraftFrom = DraftFrom.X, block: int = 1, **numbers: float
) -> Settings:
    """Settings with plain numbers in place of a profile's."""
    given = {"transmit_rate": 0.5, "k": 3, "vartheta": 0.1, "b_prob": 8, "law_entries": 0, **numbers}
    return Settings(
        find_method(method),
        UncertaintySettings(),
        threshold,
        transmit_rate=given["transmit_rate"],
        k=int(given["k"]),
        vartheta=given["vartheta"],
        rejection=REJECTION,
        draft_from=draft_from,
        b_prob=int(given["b_prob"]),
        block=block,
        law_entries=int(given["law_entries"]),
        risk=RISK if method == "opportunistic" else None,
    )


def answer(
    device: Device,
    chosen: Settings,
    *,
    seed: int = 0,
    tokens: int = 40,
    sampling: Sampling = Sampling(),
    prompt: tuple[int, ...] = PROMPT,
) -> Answer:
    """One whole answer."""
    return collect(device.generate(chosen, Request(prompt, sampling, seed, Limits(tokens))))
