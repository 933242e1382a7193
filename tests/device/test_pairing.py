"""Draft and target agree on the vocabulary; in all else that a prompt and an end depend on, the target is followed."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest
from tests.toy_pair import answer, settings

from cuhlm.device.device import Device
from cuhlm.engines import chat_template
from cuhlm.errors import ModelError
from cuhlm.link.in_process import InProcessLink
from cuhlm.messages import ChatFormat, ModelCard
from cuhlm.methods import METHODS
from cuhlm.testing import ToyEngine
from cuhlm.verifier.host import Verifier

ASKING = [name for name in METHODS if name != "local"]


class Carded(ToyEngine):
    """A toy engine whose file says more than the usual of itself."""

    def __init__(self, chat: ChatFormat, end_tokens: frozenset[int], noise: float = 0.0) -> None:
        super().__init__(vocab_size=128, seed=5, noise=noise)
        self._says = {"chat": chat, "end_tokens": end_tokens}

    @property
    def card(self) -> ModelCard:
        return replace(super().card, **self._says)


@contextmanager
def pair(*, draft: ChatFormat, target: ChatFormat, draft_ends: frozenset[int] = frozenset()) -> Iterator[Device]:
    with closing(Verifier(Carded(target, frozenset()), max_sessions=2)) as verifier:
        yield Device(Carded(draft, draft_ends, noise=0.3), InProcessLink(verifier))


OURS, THEIRS = ChatFormat("ours{{ messages[0].content }}"), ChatFormat("theirs{{ messages[0].content }}")


@pytest.mark.parametrize("draft", [OURS, ChatFormat(), THEIRS])
def test_a_prompt_is_in_the_targets_template_whatever_the_drafts_is(draft: ChatFormat) -> None:
    with pair(draft=draft, target=THEIRS) as device:
        assert device.prompt("abc") == tuple(device.draft.tokenizer.tokenize("theirsabc"))
        assert device.prompt("abc", raw=True) == tuple(device.draft.tokenizer.tokenize("abc"))


def test_without_a_link_a_prompt_is_in_the_drafts_template() -> None:
    device = Device(Carded(OURS, frozenset()), None)
    assert device.prompt("abc") == tuple(device.draft.tokenizer.tokenize("oursabc"))
    assert device.notes == []


def test_a_target_whose_template_runs_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template, "CONFINED_SECONDS", 1)
    endless = ChatFormat("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}")
    with pair(draft=OURS, target=endless) as device, pytest.raises(ModelError, match="runs for more than 1 s"):
        device.prompt("abc")


@pytest.mark.parametrize("method", ASKING)
def test_an_end_token_that_only_the_draft_knows_ends_no_answer_of_the_targets(method: str) -> None:
    with pair(draft=THEIRS, target=THEIRS, draft_ends=frozenset(range(128))) as device:
        assert len(answer(device, settings(method), tokens=12).tokens) == 12


def test_it_ends_what_the_draft_writes_alone() -> None:
    with pair(draft=THEIRS, target=THEIRS, draft_ends=frozenset(range(128))) as device:
        assert len(answer(device, settings("local"), tokens=12).tokens) == 1


def test_what_is_not_followed_is_told() -> None:
    with pair(draft=THEIRS, target=THEIRS) as device:
        assert device.notes == []
    with pair(draft=OURS, target=THEIRS, draft_ends=frozenset({3})) as device:
        template, ends = device.notes
    assert "the chat template of the draft 'toy-" in template
    assert "ends with the tokens [3], the target with [], which count" in ends
