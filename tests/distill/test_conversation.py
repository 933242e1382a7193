import pytest

from cuhlm.distill.conversation import LONGEST_INSTRUCTION, Conversation, TurnTokens
from cuhlm.engines.llama_cpp import LlamaCppEngine
from cuhlm.engines.prompting import encode_prompt
from cuhlm.errors import ModelError
from cuhlm.messages import ChatFormat

TURNS = TurnTokens(opening=(90, 91), to_answer=(99, 92), to_user=(99, 93), ends=frozenset({99, 98}))


def taken(conversation: Conversation, drawn: list[int]) -> list[tuple[int, bool]]:
    return [conversation.take(token) for token in drawn]


def test_a_prompt_is_given_and_the_answer_counts_to_its_end() -> None:
    conversation = Conversation(TURNS, (1, 2))
    assert [token for token, _ in taken(conversation, [0] * 6)] == [90, 91, 1, 2, 99, 92]
    assert taken(conversation, [7, 99, 0]) == [(7, True), (99, True), (93, False)]


def test_without_a_prompt_the_target_writes_one_that_does_not_count() -> None:
    conversation = Conversation(TURNS)
    assert taken(conversation, [0, 0, 5, 99, 0, 7]) == [
        (90, False), (91, False), (5, False), (99, False), (92, False), (7, True),
    ]  # fmt: skip


def test_another_end_token_is_kept_and_the_templates_own_follows() -> None:
    conversation = Conversation(TURNS, (1,))
    taken(conversation, [0] * 5)
    assert taken(conversation, [98, 0, 0, 4]) == [(98, True), (99, False), (93, False), (4, False)]


def test_an_endless_instruction_is_cut_off() -> None:
    conversation = Conversation(TURNS)
    tokens = [token for token, _ in taken(conversation, [5] * (2 + LONGEST_INSTRUCTION + 3))]
    assert tokens == [90, 91, *[5] * LONGEST_INSTRUCTION, 99, 92, 5]


def test_the_turns_of_a_real_template_are_what_it_renders(target_engine: LlamaCppEngine) -> None:
    tokenizer, chat = target_engine.tokenizer, target_engine.card.chat
    turns = TurnTokens.of(tokenizer, chat)
    prompt = encode_prompt(tokenizer, chat, "Name three fruits.")
    assert list(prompt) == [*turns.opening, *tokenizer.tokenize("Name three fruits."), *turns.to_answer]


class Letters:
    """A tokenizer of letters."""

    end_tokens = frozenset({50})
    control_names = added_names = frozenset()

    def tokenize(self, text: str) -> list[int]:
        return list(map(ord, text))


def test_a_start_token_comes_once_at_the_start() -> None:
    template = "{% for m in messages %}{{ m.role[0] }}{{ m.content }}2{% endfor %}a"
    turns = TurnTokens.of(Letters(), ChatFormat(template, start="d", adds_start=True))
    assert turns.opening == (ord("d"), ord("u"))
    assert turns.to_answer == (ord("2"), ord("a"))
    assert turns.to_user == (ord("2"), ord("u"))


def test_a_template_that_changes_what_is_said_is_refused() -> None:
    shouting = ChatFormat("{% for m in messages %}{{ m.content | upper }}{% endfor %}")
    with pytest.raises(ModelError, match="give back what is said"):
        TurnTokens.of(Letters(), shouting)
