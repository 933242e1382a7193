"""`cuhlm plan` and what `cuhlm generate` says of a risk, as people run them, with the pair that comes with cuhlm."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cuhlm.data import DRAFT_PROFILE


def cuhlm(*arguments: str, columns: str = "80") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cuhlm", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env={"COLUMNS": columns, "PATH": ""},
    )


def test_a_plan_is_told_in_words_and_its_map_is_a_picture(tmp_path: Path) -> None:
    done = cuhlm("plan", "--rtt", "50", "--map", "--svg", str(tmp_path / "map.svg"))
    assert done.returncode == 0, done.stderr
    for words in ("opportunistic", "lossless", "Best with the target's", "Who wins: smollm2-draft-16l"):
        assert words in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "rtt_ms" not in done.stdout.partition("Who wins")[2], "the map is of all round trips"
    picture = ElementTree.parse(tmp_path / "map.svg").getroot()
    names = {element.tag.rpartition("}")[2] for element in picture.iter()}
    assert names == {"svg", "title", "rect", "text", "g"}, "nothing that runs, and nothing from elsewhere"
    assert sum(element.tag.endswith("title") for element in picture.iter()) == 131


def test_a_plan_as_json_has_all_numbers() -> None:
    done = cuhlm("plan", "--rtt", "20", "--mbps", "1", "--risk", "0.05", "--draft-ms", "5", "--json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert (plan["round_trip_ms"], plan["draft_ms"], plan["risk"]) == (20, 5, 0.05)
    assert plan["methods"]["opportunistic"]["kept"] > plan["methods"]["lossless"]["kept"] == 0
    assert plan["map"] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--rtt", "-1"), "rtt_ms of the channel is -1; expected 0 to"),
        (("--mbps", "nan"), "mbps of the channel is 'nan'; expected a number"),
        (("--channel", "paper", "--mbps", "1"), "'mbps' is no setting of the channel 'paper'"),
        (("--compute", "measured"), "stands for the times of a run, and nothing is run"),
        (("--target-ms", "0"), "the target's time is 0 ms; expected a number of at least"),
        (("--risk", "1"), "the risk is 1.0; expected a share from 0 to below 1"),
        (("--svg", "no/where.svg"), "the map no/where.svg cannot be written"),
        (("--profile", "nowhere.json"), "cannot be read: No such file"),
    ],
)
def test_a_plan_that_cannot_be_made_says_why(arguments: tuple[str, ...], words: str) -> None:
    done = cuhlm("plan", *arguments, columns="200")
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr


def test_an_answer_within_a_risk_says_what_was_risked_and_teaches_the_profile(tmp_path: Path) -> None:
    profile = tmp_path / "pair.json"
    profile.write_bytes(DRAFT_PROFILE.read_bytes())
    done = cuhlm(
        *("generate", "What is 7 + 5?", "--target", "smollm2-135m", "--threads", "1", "-n", "16", "-t", "0.7"),
        *("--method", "opportunistic", "--risk", "0.2", "--profile", str(profile), "--profile-update"),
        columns="200",
    )
    assert done.returncode == 0, done.stderr
    for words in ("risk: ", "kept tokens audited", "wrong means plausible", "budget: 20 % of all", "certified at 95 %"):
        assert words in done.stderr
    fitted = json.loads(profile.read_text(encoding="utf-8"))["scores"]["plausible"]
    assert fitted["audits"] > 0
    assert fitted["refined"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-m", "opportunistic", "--risk", "1.5"), "the risk is 1.5; expected a share from 0 to below 1"),
        (("-m", "opportunistic", "--wrong", "bad"), "--wrong is 'bad'; expected one of plausible, beta, keyed"),
        (("--relaxed", "-m", "hlm"), "relaxed verdicts for hlm; expected them with lossless or opportunistic"),
        (("--profile-update",), "--profile-update saves to --profile what was audited; expected a profile"),
        (("-m", "split", "--y-entries", "-1"), "the number of y's entries is -1; expected 0"),
    ],
)
def test_what_cannot_be_risked_is_refused_before_a_model_is_loaded(arguments: tuple[str, ...], words: str) -> None:
    done = cuhlm("generate", "hi", "--target", "smollm2-135m", *arguments, columns="200")
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr
