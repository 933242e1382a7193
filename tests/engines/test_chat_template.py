"""Chat templates run in a sandbox, and their failures are told."""

import pytest

from cuhlm.engines import chat_template
from cuhlm.errors import ModelError
from cuhlm.messages import ChatFormat

CHAT = [("user", "Hi"), ("assistant", "Hello"), ("user", "<b> & é")]


def rendered(template: str, messages: list[tuple[str, str]] = CHAT) -> str:
    return chat_template.render(template, messages, start="<s>", end="</s>")


def test_blocks_leave_no_lines_behind_and_loops_can_break() -> None:
    template = """{% for message in messages %}
    {% if loop.index > 2 %}
        {% break %}
    {% endif %}
[{{ message['role'] }}] {{ message.content }}
{% endfor %}
{% if add_generation_prompt %}
[assistant]{% endif %}"""
    assert rendered(template) == "[user] Hi\n[assistant] Hello\n[assistant]"


def test_start_and_end_tokens_are_at_hand_and_tools_are_none() -> None:
    assert rendered("{{ bos_token }}{% if tools %}tools{% endif %}{{ eos_token }}") == "<s></s>"


def test_json_is_written_without_escapes() -> None:
    assert rendered("{{ messages[2] | tojson }}") == '{"role": "user", "content": "<b> & é"}'


def test_the_date_can_be_asked_for() -> None:
    assert rendered("{{ strftime_now('%%') }}") == "%"


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('only one user message, please') }}",
        "{% for message in messages %}",
        "{{ messages[7].content.upper() }}",
        "{{ 1 / 0 }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{% for i in range(10000000) %}x{% endfor %}",
        "{{ messages.append(1) }}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        "{% for a in 'x' %}" * 25 + "{% endfor %}" * 25,
    ],
)
def test_a_template_that_fails_or_wants_too_much_is_a_model_error(template: str) -> None:
    with pytest.raises(ModelError, match=r"chat template fails on messages of the roles user, .*expected .*; change"):
        rendered(template)


def test_the_reason_that_a_template_gives_is_told() -> None:
    with pytest.raises(ModelError, match="only one user message, please"):
        rendered("{{ raise_exception('only one user message, please') }}")


def confined(template: str) -> str:
    return chat_template.rendered(ChatFormat(template, start="<s>"), CHAT, confined=True)


def test_a_strangers_template_gives_what_it_would_give_here() -> None:
    template = "{{ bos_token }}{% for message in messages %}{{ message.content }} {% endfor %}"
    assert confined(template) == rendered(template) == "<s>Hi Hello <b> & é "
    with pytest.raises(ModelError, match="only one user message, please"):
        confined("{{ raise_exception('only one user message, please') }}")


def test_a_strangers_template_cannot_hold_us_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template, "CONFINED_SECONDS", 1)
    with pytest.raises(ModelError, match="it runs for more than 1 s"):
        confined("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}")


def test_a_strangers_template_cannot_fill_the_memory() -> None:
    with pytest.raises(ModelError, match=r"MemoryError|for want of memory"):
        confined("{{ ('x' * 2000000000) | length }}")


def test_a_strangers_template_cannot_make_a_text_without_end() -> None:
    with pytest.raises(ModelError, match="it makes 2000000 characters"):
        confined("{{ 'x' * 2000000 }}")


def test_a_reason_without_end_is_cut() -> None:
    with pytest.raises(ModelError) as failed:
        confined("{{ raise_exception('x' * 100000) }}")
    assert len(str(failed.value)) < 1000
