"""The one door from a model reference to an engine."""

from cuhlm.engines.llama_cpp import LlamaCppEngine
from cuhlm.engines.locate import locate


def load_engine(
    reference: str, *, context_length: int | None = None, sequences: int = 1, threads: int | None = None
) -> LlamaCppEngine:
    """Load the model that `reference` names, ready to open sequences.

    Args:
        reference: a path or a name; see `locate`.
        context_length: tokens that every sequence can hold; None takes 2048, or what the model was trained for if that
            is less.
        sequences: how many sequences may be open at once.
        threads: threads of a forward pass; None takes one per usable core.

    Raises:
        ConfigurationError: a number or the reference is malformed, or an extra that it needs is not installed.
        ModelError: the model is not there, cannot be run, or does not fit into memory.
    """
    return LlamaCppEngine.load(locate(reference), context_length=context_length, sequences=sequences, threads=threads)
