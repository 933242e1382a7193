"""cuhlm: decoding with a small language model on a device and a large one behind a bad network.

The path of one token (`tests/end_to_end/test_path_of_one_token.py` walks it):

    device                                              verifier
    ──────                                              ────────
    engine      draft model's logits                    engine      target model's logits
    engines/llama_cpp.py, batching.py                   engines/llama_cpp.py
        │                                                   ▲   │
        ▼                                                   │   ▼
    drafting    x, and d drawn from it                  batching    one forward pass for all that wait
    device/drafting.py                                  engines/batching.py, verifier/host.py
        │                                                   ▲   │
        ▼                                                   │   ▼
    gate        u ≤ u_th: keep d, ask nobody            session     accept d, or draw from max(0, y − x̂)
    device/gate.py ──────────► commit                   verifier/session.py
        │ else                                              ▲   │ verdict
        ▼                                                   │   ▼
    truncation  the k largest entries of x              server      block in, verdict out
    device/offering.py, theory/truncation.py            verifier/server.py
        │                                                   ▲   │
        ▼                                                   │   ▼
    codec       k indices and probabilities as bytes    wire        protobuf
    codec/fixed_width.py                                wire/convert.py
        │                                                   ▲   │
        └─────► link   block ───────────────────────────────┘   │
                link/grpc.py, in_process.py, simulated.py ◄─────┘
        │
        ▼
    commit      the token that stands, and its record   device/loop.py, records.py

`device/loop.py` is that algorithm. `lossless` streams drafts ahead instead of waiting for each verdict
(`device/streaming.py`, `device/ahead.py`, `verifier/branch.py`, `theory/pacing.py`); `opportunistic` does, too, and
keeps what a risk budget allows (`device/keeping.py`, `device/kept_ahead.py`, `theory/control.py`). On either side one
thread owns the model, and generations share its passes. Imports point one way, from `cli` down to `errors`; `device`
and `verifier` share only `messages`. Gates, truncations and verification rules are combined by the rows of
`methods.py`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cuhlm.device.device import Answer, Device, Request, collect
    from cuhlm.device.ending import Limits
    from cuhlm.device.keeping import Keeping
    from cuhlm.device.steps import Drafted, Emit, Finish, Reason
    from cuhlm.engines.llama_cpp import LlamaCppEngine
    from cuhlm.errors import CuhlmError
    from cuhlm.link.grpc import GrpcLink, Security
    from cuhlm.link.in_process import InProcessLink
    from cuhlm.messages import Fate, ModelCard, Sampling
    from cuhlm.methods import METHODS, Method, find_method
    from cuhlm.profiles import Profile, load_profile
    from cuhlm.records import TokenRecord
    from cuhlm.settings import Settings, settings_for
    from cuhlm.verifier.host import Verifier

__all__ = [  # written out, as type checkers read it
    "METHODS",
    "Answer",
    "CuhlmError",
    "Device",
    "Drafted",
    "Emit",
    "Fate",
    "Finish",
    "GrpcLink",
    "InProcessLink",
    "Keeping",
    "Limits",
    "LlamaCppEngine",
    "Method",
    "ModelCard",
    "Profile",
    "Reason",
    "Request",
    "Sampling",
    "Security",
    "Settings",
    "TokenRecord",
    "Verifier",
    "collect",
    "find_method",
    "load_profile",
    "settings_for",
]

_HOMES = {
    "device.device": ("Answer", "Device", "Request", "collect"),
    "device.ending": ("Limits",),
    "device.keeping": ("Keeping",),
    "device.steps": ("Drafted", "Emit", "Finish", "Reason"),
    "engines.llama_cpp": ("LlamaCppEngine",),
    "errors": ("CuhlmError",),
    "link.grpc": ("GrpcLink", "Security"),
    "link.in_process": ("InProcessLink",),
    "messages": ("Fate", "ModelCard", "Sampling"),
    "methods": ("METHODS", "Method", "find_method"),
    "profiles": ("Profile", "load_profile"),
    "records": ("TokenRecord",),
    "settings": ("Settings", "settings_for"),
    "verifier.host": ("Verifier",),
}


def __getattr__(name: str) -> object:
    """A public name, imported when it is first used: `cuhlm --help` needs neither numpy nor gRPC."""
    home = next((home for home, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module 'cuhlm' has no attribute {name!r}")
    return getattr(import_module(f"cuhlm.{home}"), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
