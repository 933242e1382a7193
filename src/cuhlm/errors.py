"""Every error that cuhlm raises on purpose, as one tree.

    CuhlmError                    a mistake or a mishap that a person can act on
    ├── ConfigurationError        a value given by the user is out of range or does not fit another
    ├── ModelError                a model file is missing, unreadable, or of an unknown kind
    │   ├── LibraryError          the llama.cpp library does not load or is of another version
    │   ├── IncompatibleModels    draft and target do not share a vocabulary
    │   ├── ContextOverflow       a prompt or a generation does not fit into the context
    │   ├── ModelBusy             all sequences that a model was loaded with are in use
    │   └── ModelClosed           a model is being closed while somebody waits for it
    ├── ProfileError              a profile is malformed or belongs to another pair
    ├── PayloadError              an encoded distribution is malformed
    ├── ProtocolError             the other side said something the protocol does not allow
    └── LinkError                 the verifier cannot be reached, or was lost
        ├── LinkTimeout           no answer within the deadline
        ├── Unauthenticated       the verifier does not accept the token
        └── VerifierBusy          the verifier has no room for another session

A message has three parts: what is wrong (with the value), what was expected, and what to do.
The command line prints a ``CuhlmError`` as one line and exits with code 2; anything else is a bug and
keeps its traceback.
"""


class CuhlmError(Exception):
    """A mistake or a mishap that a person can act on.

    Attributes:
        held_back: where it ended an answer: text of decided tokens that had not been shown, as a stop string or a
            character might have gone on.
    """

    held_back: str = ""


class ConfigurationError(CuhlmError):
    """A value given by the user is out of range or does not fit another."""


class ModelError(CuhlmError):
    """A model file is missing, unreadable, or of an unknown kind."""


class LibraryError(ModelError):
    """The llama.cpp library does not load or is of another version."""


class IncompatibleModels(ModelError):
    """Draft and target do not share a vocabulary."""


class ContextOverflow(ModelError):
    """A prompt or a generation does not fit into the context."""


class ModelBusy(ModelError):
    """All sequences that a model was loaded with are in use."""


class ModelClosed(ModelError):
    """A model is being closed while somebody waits for it."""


class ProfileError(CuhlmError):
    """A profile is malformed or belongs to another model pair."""


class PayloadError(CuhlmError):
    """An encoded distribution is malformed."""


class ProtocolError(CuhlmError):
    """The other side said something the protocol does not allow."""


class LinkError(CuhlmError):
    """The verifier cannot be reached, or was lost."""


class LinkTimeout(LinkError):
    """No answer came within the deadline."""


class Unauthenticated(LinkError):
    """The verifier does not accept the token."""


class VerifierBusy(LinkError):
    """The verifier has no room for another session."""
