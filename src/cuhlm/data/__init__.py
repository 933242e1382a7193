"""The files that come with cuhlm, and the one place that knows where they are."""

from pathlib import Path

_FOLDER = Path(__file__).parent

DRAFT_MODEL = _FOLDER / "smollm2-draft-16l-q4_0.gguf"
"""The built-in draft model: SmolLM2 135M cut to 16 layers, trained on the target's text and laws; see README.md."""

DRAFT_PROFILE = _FOLDER / "smollm2-draft-16l-q4_0.profile.json"
"""The calibrated numbers of the built-in pair."""
