"""Running a grid with the real pair: decoded once, resumed after an interruption, shared between greedy methods."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from cuhlm.channel.billing import bill
from cuhlm.channel.compute import find_compute
from cuhlm.channel.presets import find_channel
from cuhlm.errors import ConfigurationError, ModelError
from cuhlm.experiments.grid.greedy import as_route, decoded_as
from cuhlm.experiments.grid.jobs import AnswerJob, Cell, WalkJob, answer_jobs, together
from cuhlm.experiments.grid.replay import replay
from cuhlm.experiments.grid.run import Grid, pair_of, run_grid
from cuhlm.experiments.grid.spec import (
    Billing,
    Calibration,
    Methods,
    Part,
    PromptSet,
    Spec,
    Sweep,
    Walk,
)
from cuhlm.experiments.grid.traces import MeasuredAnswer, read_answer, read_frame
from cuhlm.experiments.grid.worker import decode, load
from cuhlm.experiments.report.measures import measure_cell
from cuhlm.measuring.bootstrap import estimate, resample_counts
from cuhlm.measuring.summary import summarise
from cuhlm.messages import Fate
from cuhlm.methods import find_method

PROMPTS = ('{"id": "a", "prompt": "Name three fruits."}', '{"id": "b/2", "prompt": "Why is the sky blue?"}')
METHOD_NAMES = ("remote", "hlm", "u-hlm", "cu-hlm", "route")


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Spec:
    file = tmp_path_factory.mktemp("prompts") / "two.jsonl"
    file.write_text("\n".join(PROMPTS))
    return Spec(
        title="a test",
        draft="smollm2-draft",
        target="smollm2-135m",
        context=256,
        prompts={"two": PromptSet(file)},
        calibration=Calibration("two", max_tokens=8, temperature=1.0),
        grid=(
            Part(
                methods=tuple(Methods(name, 0.6 if find_method(name).is_gated else 0.0) for name in METHOD_NAMES),
                prompts=("two",),
                temperatures=(0.7, 0.0),
                max_tokens=8,
            ),
        ),
        billing=Billing(channels=("lte",), sweep=Sweep(snr_db=(0.0,))),
        walk=Walk("two", 4, (0.7,)),
    )


class Counter:
    """Counts jobs; interrupts the run after `stop_after` of them."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.done, self.before, self.total, self._stop_after = 0, 0, 0, stop_after

    def begins(self, _: str, total: int, done: int) -> None:
        self.total += total
        self.before += done

    def advances(self) -> None:
        self.done += 1
        if self.done == self._stop_after:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def grid(spec: Spec, out: Path) -> Iterator[Grid]:
    """A run that was interrupted once and then finished."""
    with pytest.raises(KeyboardInterrupt):
        run_grid(spec, out, processes=2, listener=Counter(stop_after=4))
    kept = set(out.rglob("*.parquet"))
    counter = Counter()
    finished = run_grid(spec, out, processes=2, listener=counter)
    assert counter.before >= 4
    assert counter.before + counter.done == counter.total
    assert kept <= set(out.rglob("*.parquet"))
    yield finished


def answers(grid: Grid, method: str, temperature: float) -> list[MeasuredAnswer]:
    (jobs,) = [
        jobs
        for cell, jobs in grid.answers.items()
        if cell.choice.method.name == method and cell.temperature == temperature
    ]
    return [read_answer(job.path) for job in jobs]


def test_a_finished_run_is_not_run_again_and_a_further_channel_decodes_nothing(
    grid: Grid, spec: Spec, out: Path
) -> None:
    times = {file: file.stat().st_mtime_ns for file in out.rglob("*.parquet")}
    counter = Counter()
    run_grid(replace(spec, billing=Billing(channels=("lte", "3g", "satellite"))), out, processes=1, listener=counter)
    assert (counter.done, counter.before) == (0, counter.total)
    assert times == {file: file.stat().st_mtime_ns for file in out.rglob("*.parquet")}


def test_only_what_is_missing_or_changed_is_decoded(grid: Grid, spec: Spec, out: Path) -> None:
    cell = next(cell for cell in grid.answers if cell.choice.method.name == "hlm")
    lost = grid.answers[cell][1].path
    before = read_answer(lost)
    lost.unlink()
    part = spec.grid[0]
    methods = (*part.methods, Methods("route", 0.9))
    extra = replace(spec, grid=(replace(part, methods=methods),))
    counter = Counter()
    run_grid(extra, out, processes=2, listener=counter)
    assert counter.done == 1 + 2 * 2  # the lost answer; a new method on two prompts at two temperatures
    assert read_answer(lost).tokens == before.tokens


def test_no_half_files_are_left(grid: Grid, out: Path) -> None:
    assert not list(out.rglob("*.partial*"))


def test_a_trace_has_a_row_per_token_with_its_quality(grid: Grid) -> None:
    for method in METHOD_NAMES:
        for answer in answers(grid, method, 0.7):
            assert 1 <= len(answer.records) <= 8
            assert len(answer.records) == len(answer.qualities) == len(answer.texts)
            assert all(0 <= quality.tv <= 1 and quality.nll >= 0 for quality in answer.qualities)
    assert all(quality.tv == 0 for answer in answers(grid, "remote", 0.7) for quality in answer.qualities)
    assert answers(grid, "remote", 0.7)[0].text.strip()


def test_a_walk_has_a_row_per_position_with_the_chosen_thresholds(grid: Grid) -> None:
    ((_, jobs),) = grid.walks.items()
    frame = read_frame(jobs[0].path)
    assert isinstance(jobs[0], WalkJob)
    assert len(frame) == 4
    for row in frame.to_dicts():
        assert row["beta"] == pytest.approx(max(0, 1 - row["y_d"] / row["x_d"]), abs=1e-6)
        assert row["skip_chance"] == sorted(row["skip_chance"])
        assert row["skip_chance"][-1] == pytest.approx(1, abs=1e-5)
        assert row["gated_tv"][-1] == pytest.approx(row["tv"], abs=1e-5)  # skipping everything is the draft's own law
        assert row["k"] == sorted(row["k"], reverse=True)
        assert row["acceptance_xhat"] <= row["acceptance_x"] + 0.02


def test_greedy_route_is_not_decoded_but_taken_from_cu_hlm(grid: Grid, spec: Spec, out: Path) -> None:
    # n = 2 answers of 8 tokens at u_th = 0.6, decoded with both methods and compared token for token.
    cell = next(cell for cell in grid.answers if cell.choice.method.name == "route" and cell.temperature == 0)
    shared = decoded_as(cell, grid.answers)
    assert shared.choice.method.name == "cu-hlm"
    assert grid.answers[cell] == grid.answers[shared]
    profile = grid.profiles[1.0]
    loaded = load(grid.pair)
    for job in answer_jobs(spec, grid.pair, out, cell, profile):
        taken = as_route(read_answer(next(each.path for each in grid.answers[cell] if each.prompt == job.prompt)))
        really = decode(job, loaded)
        assert really.tokens == taken.tokens
        assert really.text == taken.text
        for ours, theirs in zip(really.records, taken.records, strict=True):
            same = ("position", "fate", "draft_token", "u", "k", "payload_bits", "beta", "target_passes", "transmitted")
            assert all(getattr(ours, name) == getattr(theirs, name) for name in same)
    assert any(record.transmitted for job in grid.answers[cell] for record in read_answer(job.path).records)


def test_sampled_route_is_decoded_itself(grid: Grid) -> None:
    cell = next(cell for cell in grid.answers if cell.choice.method.name == "route" and cell.temperature > 0)
    assert decoded_as(cell, grid.answers) == cell


def test_a_greedy_cu_hlm_of_another_threshold_is_no_twin(grid: Grid) -> None:
    cell = next(cell for cell in grid.answers if cell.choice.method.name == "route" and cell.temperature == 0)
    other = Cell(replace(cell.choice, threshold=0.1), cell.prompts, 0.0, 0, 8)
    assert decoded_as(other, grid.answers) == other


def test_answers_that_share_their_prefixes_are_those_decoded_apart(grid: Grid, spec: Spec, tmp_path: Path) -> None:
    # n = 2 prompts × 9 decodings of 8 tokens: 5 methods at T = 0.7, and 4 at T = 0, where route is taken from cu-hlm.
    part = replace(spec.grid[0], shares_prefixes=True)
    counter = Counter()
    shared = run_grid(replace(spec, grid=(part,), walk=None), tmp_path, processes=1, listener=counter)
    assert (counter.before, counter.done) == (0, 1 + 2 * 9)  # a calibration, and the answers
    assert len(together(shared.answers)) == 2 * 2
    for method, temperature in product(METHOD_NAMES, part.temperatures):
        ours, theirs = (answers(each, method, temperature) for each in (shared, grid))
        assert [answer.tokens for answer in ours] == [answer.tokens for answer in theirs]
        assert [answer.qualities for answer in ours] == [answer.qualities for answer in theirs]
        assert _fates(ours) == _fates(theirs)


def test_without_quality_the_tokens_are_the_same_and_the_exact_measures_are_left_out(
    grid: Grid, spec: Spec, tmp_path: Path
) -> None:
    part = replace(spec.grid[0], temperatures=(0.0,), shares_prefixes=True, measures_quality=False)
    bare = run_grid(replace(spec, grid=(part,), walk=None), tmp_path, processes=1, listener=Counter())
    for method in METHOD_NAMES:
        ours, theirs = (answers(each, method, 0.0) for each in (bare, grid))
        assert [answer.tokens for answer in ours] == [answer.tokens for answer in theirs]
        assert not any(answer.qualities for answer in ours)
        left_out = measure_cell(theirs, None, _prompts(grid), None).keys() - measure_cell(
            ours, None, _prompts(grid), None
        )
        assert left_out == {"tv", "kl", "kl_infinite", "nll"}


def test_an_interruption_does_not_wait_for_all_answers_that_share_their_prefixes(spec: Spec, tmp_path: Path) -> None:
    # 4 times 5 or 4 answers go together; the first time is done when the run is interrupted, the second under way.
    part = replace(spec.grid[0], shares_prefixes=True)
    with pytest.raises(KeyboardInterrupt):
        run_grid(replace(spec, grid=(part,), walk=None), tmp_path, processes=1, listener=Counter(stop_after=2))
    assert 5 <= len(list(tmp_path.rglob("*.parquet"))) < 10
    assert not list(tmp_path.rglob("*.partial*"))


def _fates(answers: list[MeasuredAnswer]) -> list[list[Fate]]:
    return [[record.fate for record in answer.records] for answer in answers]


def test_a_replay_is_the_bill_with_fades_of_its_own_for_each_answer(grid: Grid) -> None:
    records = [answer.records for answer in answers(grid, "cu-hlm", 0.7)]
    channel, compute = find_channel("paper:snr_db=0"), find_compute("phone-1b-server-7b")
    first, second = (replay(records, seeds, [channel], [compute])[0] for seeds in ((0, 1), (0, 2)))
    assert first.seconds[0] == pytest.approx(bill(records[0], channel, compute).total_seconds)
    assert first.seconds[0] == second.seconds[0]
    assert first.seconds[1] != second.seconds[1]


def test_the_measures_of_a_cell_are_those_of_its_records(grid: Grid) -> None:
    cell = answers(grid, "u-hlm", 0.7)
    summary = summarise([record for answer in cell for record in answer.records], grid.vocab_size)
    ratios = measure_cell(cell, answers(grid, "remote", 0.7), _prompts(grid), None)
    counts = resample_counts(len(cell))
    for name in ("transmitted_share", "mean_k", "uplink_bytes_per_token", "target_passes_per_token", "acceptance"):
        assert estimate(ratios[name], counts).value == pytest.approx(getattr(summary, name), nan_ok=True)
    assert estimate(ratios["mean_beta"], counts).value == pytest.approx(summary.mean_beta)


def _prompts(grid: Grid) -> list:
    jobs: list[AnswerJob] = next(iter(grid.answers.values()))
    return [job.prompt for job in jobs]


def test_a_model_that_is_not_there_is_named_before_anything_runs(spec: Spec) -> None:
    with pytest.raises(ModelError, match=r"the target nowhere.gguf is not there; .* --target"):
        pair_of(replace(spec, target="nowhere.gguf"))


def test_a_damaged_trace_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 not")
    with pytest.raises(ConfigurationError, match=r"broken.parquet cannot be read .* delete it and run again"):
        read_answer(tmp_path / "broken.parquet")
