"""Medians, spreads and ratios that the benchmarks compute from samples."""

from pathlib import Path

import pytest

from bench.gateway.blocks import Step, blocks
from bench.gateway.cores import divide
from bench.gateway.figures import DIRECT, NOISE, Sample, Samples, figure
from bench.gateway.goals import GOALS, OURS, Goal, judge
from bench.gateway.load import read
from bench.gateway.native import CannotMeasure
from bench.gateway.records import Record, Records
from bench.gateway.report import number, report
from bench.gateway.scenarios import SCENARIOS
from bench.peers import BESIDE, FAST
from bench.peers.place import Packages

CPU = {"gateway": [20.0, 22.0, 40.0], "haproxy": [20.0, 20.0, 40.0], DIRECT: []}


def sample(
    target: str, turn: int, *, block: str = "main", scenario: str = "json-64", **figures: float
) -> Sample:
    return Sample(block=block, round=turn, scenario=scenario, target=target, figures=figures)


def measured(values: dict[str, list[float]] | None = None) -> Samples:
    values = CPU if values is None else values
    return Samples.of(
        sample(name, turn, cpu_us=value) for name, row in values.items() for turn, value in enumerate(row)
    )


def test_a_figure_is_the_median_and_the_distance_between_the_quartiles() -> None:
    found = figure([5.0, 1.0, 2.0, 4.0, 3.0])
    assert found
    assert (found.median, found.spread, found.count) == (3.0, 2.0, 5)
    few = figure([1.0, 4.0])
    assert few
    assert (few.median, few.spread) == (2.5, 3.0)
    assert figure([]) is None


def test_a_ratio_is_taken_round_by_round() -> None:
    found = measured().ratio("json-64", "gateway", "haproxy", "cpu_us")
    assert found
    assert found.median == 1.0  # of 1.0, 1.1 and 1.0; the ratio of the medians is 1.1
    assert found.count == 3


def test_rounds_of_different_blocks_are_not_compared() -> None:
    samples = Samples.of([sample("gateway", 0, cpu_us=1), sample("envoy", 0, block="envoy", cpu_us=2)])
    assert samples.ratio("json-64", "gateway", "envoy", "cpu_us") is None


def test_who_is_in_several_blocks_is_told_of_by_the_first() -> None:
    samples = Samples.of([sample("gateway", 0, cpu_us=1), sample("gateway", 0, block="envoy", cpu_us=9)])
    found = samples.figure("json-64", "gateway", "cpu_us")
    assert found
    assert (found.median, found.count) == (1, 1)


def test_a_difference_is_taken_round_by_round() -> None:
    samples = measured({"gateway": [10.0, 30.0], DIRECT: [8.0, 26.0]})
    found = samples.added("json-64", "gateway", "cpu_us")
    assert found
    assert found.median == 3.0


@pytest.mark.parametrize(("median", "word"), [(0.9, "met, ambition too"), (1.05, "met"), (1.2, "missed")])
def test_a_goal_is_judged(median: float, word: str) -> None:
    samples = measured({"gateway": [median], "haproxy": [1.0]})
    verdict = next(one for one in judge(samples) if one.text == GOALS[0].text)
    assert verdict.word == word


def test_a_goal_without_figures_is_not_met() -> None:
    assert {verdict.word for verdict in judge(Samples.of([]))} == {"not measured"}


@pytest.mark.parametrize(("ours", "word"), [(0.97, "met"), (0.9, "missed")])
def test_the_real_engine_is_judged_by_the_noise_of_the_direct_path(ours: float, word: str) -> None:
    rates = {DIRECT: 100.0, NOISE: 105.0, OURS: 100 * ours}
    samples = [
        sample(name, 0, block="real", scenario="unix-16", events_per_second=rate)
        for name, rate in rates.items()
    ]
    assert judge(Samples.of(samples))[-1].word == word


def test_each_goal_and_step_names_what_is_measured() -> None:
    names = {peer.name for peer in (*FAST, *BESIDE)} | {DIRECT}
    for goal in GOALS:
        assert isinstance(goal, Goal)
        assert goal.scenario in SCENARIOS
        assert {goal.target, goal.other or DIRECT} <= names
    for block in [*blocks(quick=True), *blocks(quick=False)]:
        for step in block.steps:
            assert step.scenario in SCENARIOS
            assert set(step.only or ()) <= names | {NOISE}


def test_each_round_begins_with_another_target() -> None:
    step = Step(scenario="json-64", rounds=2, seconds=1, only=("a", "b"))
    assert step.order(["a", "b", "c"], 0) == ["a", "b"]
    assert step.order(["a", "b", "c"], 1) == ["b", "a"]


def test_the_client_s_words_are_read() -> None:
    series = '{"count":1,"p50":1.5,"p90":2,"p99":3,"max":4}'
    reading = read(
        '{"seconds":1.0,"requests":2,"events":0,"merged":0,"errors":0,"error":"","cpu_us":[1.5,2],'
        f'"latency":{series},"first":null,"gap":null,"delay":null}}'
    )
    assert reading.cpu_us == (1.5, 2)
    assert reading.latency
    assert reading.latency.p99 == 3
    assert reading.gap is None


def test_one_core_is_too_few() -> None:
    with pytest.raises(CannotMeasure, match="cannot measure on 1 core"):
        divide([0])
    assert (divide([0, 1]).gateway, divide([0, 1]).client, divide([0, 1]).upstream) == (1, 0, 0)
    assert divide([2, 4, 6]).upstream == 4


def test_a_record_outlives_the_run(tmp_path: Path) -> None:
    records = Records(tmp_path / "results")
    record = Record(missing={"envoy": "not installed"}, samples=list(measured().all))
    records.write("main", record)
    assert records.has("main")
    assert not records.has("envoy")
    assert records.read(["main", "envoy"]) == record
    records.forget(["main"])
    assert not records.has("main")


def test_a_report_names_what_is_missing() -> None:
    text = report(Record(missing={"envoy": "not installed: …"}, samples=list(measured().all)))
    assert "| this gateway, unix socket | 22 ±10 |" in text
    assert "- Envoy 1.40: not installed: …" in text


def test_what_is_not_installed_says_what_to_type() -> None:
    missing = Packages(name="none-such", pip=("none-such==1.0",)).missing()
    assert missing == "not installed: make bench-peers (pip install none-such==1.0)"


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.00123, "0.00123"), (12.34, "12.3"), (1234.5, "1,234"), (-150.2, "-150")]
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text
