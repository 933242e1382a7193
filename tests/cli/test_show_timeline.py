"""The timeline as a picture in text."""

from cuhlm.channel.presets import find_channel
from cuhlm.cli.show_timeline import timeline_legend, timeline_picture
from cuhlm.measuring.timeline import Costs, replay, replay_remote
from cuhlm.theory.pacing import PassTime

CHANNEL = find_channel("lte")
COSTS = Costs(0.010, PassTime(0.040, 0.0004))


def test_a_picture_has_a_line_for_each_who_works_as_wide_as_it_was_told() -> None:
    agrees = [True, True, False, True, True, True, False, False] * 8
    title, *lines = timeline_picture("lossless", replay(agrees, CHANNEL, COSTS), until=1.0, width=100)
    assert "tokens in the first 1 s" in title.plain
    assert [line.plain.split()[0] for line in lines] == ["device", "uplink", "target", "tokens"]
    assert {len(line.plain) for line in lines} == {100}
    styles = {str(span.style) for span in lines[0].spans}
    assert {"green", "yellow"} <= styles, "drafts that are right and wrong are told apart"


def test_remote_has_no_device_at_work_and_its_tokens_come_one_a_pass() -> None:
    title, target, tokens = timeline_picture("remote", replay_remote(10, CHANNEL, COSTS), until=1.0, width=100)
    assert title.plain.startswith("remote: 10 tokens")
    assert "█" in target.plain
    assert tokens.plain.count("1") == 10


def test_the_legend_names_every_colour() -> None:
    assert all(word in timeline_legend().plain for word in ("right", "wrong", "dead", "late", "alone", "over drafts"))
