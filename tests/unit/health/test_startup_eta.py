"""Time until ready, with a simulated clock."""

from math import inf

import pytest

from nim.health.startup_eta import Estimate, expect, median
from nim.health.startup_history import Run
from nim.service_state import Phase

LOAD, COMPILE, WARM_UP, FETCH, SELECT = (
    Phase.LOAD,
    Phase.COMPILE,
    Phase.WARM_UP,
    Phase.FETCH,
    Phase.SELECT,
)


def run(warm: bool = True, downloaded: float = 0.0, **seconds: float) -> Run:
    phases = {Phase(name.replace("_", "-")): value for name, value in seconds.items()}
    return Run(at=0.0, seconds=phases, download_seconds=downloaded, warm=warm)


def started(**seconds: float) -> Estimate:
    """Return a start that began at 100 in its first phase, and what starts before it took."""
    return Estimate(expect([run(True, 0.0, **seconds)], warm=True, downloads=False), LOAD, 100.0)


# what is to be expected


def test_one_slow_start_among_five_does_not_move_what_is_expected() -> None:
    runs = [run(load=20), run(load=21), run(load=500), run(load=19), run(load=20.5)]
    assert expect(runs, warm=True, downloads=False) == {LOAD: 20.5}


def test_the_median_of_an_even_number_is_between_two() -> None:
    assert median([1, 10, 2, 4]) == 3


def test_without_an_earlier_start_nothing_is_expected() -> None:
    assert expect([], warm=True, downloads=True) == {}
    assert Estimate({}, LOAD, 0.0).rest(5.0) is None


def test_a_start_with_a_compile_cache_is_compared_with_those_that_had_one() -> None:
    runs = [run(load=10, compile=60, warm_up=9, warm=False), run(load=12, compile=5, warm_up=3)]
    assert expect(runs, warm=True, downloads=False) == {LOAD: 11, COMPILE: 5, WARM_UP: 3}
    assert expect(runs, warm=False, downloads=False) == {LOAD: 11, COMPILE: 60, WARM_UP: 9}
    assert expect(runs[:1], warm=True, downloads=False)[COMPILE] == 60


def test_a_phase_that_most_starts_did_not_have_is_not_expected() -> None:
    runs = [run(load=10, compile=60), run(load=10), run(load=10)]
    assert expect(runs, warm=True, downloads=False) == {LOAD: 10}


def test_a_model_that_is_there_already_costs_no_download() -> None:
    runs = [run(fetch=130, load=10, downloaded=100)]
    assert expect(runs, warm=True, downloads=False) == {FETCH: 30, LOAD: 10}
    assert expect(runs, warm=True, downloads=True) == {FETCH: 130, LOAD: 10}


def test_a_first_download_has_no_time_until_its_rate_is_known() -> None:
    estimate = Estimate(expect([run(fetch=30, load=10)], warm=True, downloads=True), SELECT, 0.0)
    assert estimate.expected[FETCH] == inf
    assert estimate.total is None
    assert estimate.rest(0.0) is None
    estimate.note(FETCH, None, 1.0)
    assert estimate.rest(1.0) is None
    assert estimate.rest(1.0, download_seconds=50.0) == 60
    estimate.note(LOAD, None, 60.0)
    assert estimate.rest(60.0) == 10


# how it goes on


def test_it_counts_down_though_nothing_happens() -> None:
    estimate = started(load=20, warm_up=5)
    assert estimate.total == 25
    assert [estimate.rest(100.0 + passed) for passed in (0, 1, 7.5)] == [25, 24, 17.5]


def test_a_phase_that_ends_early_or_late_takes_its_error_with_it() -> None:
    estimate = started(load=20, compile=30, warm_up=5)
    estimate.note(COMPILE, None, 110.0)
    assert estimate.rest(110.0) == 35
    estimate.note(WARM_UP, None, 200.0)
    assert estimate.rest(201.0) == 4


def test_a_phase_that_is_left_out_is_not_waited_for() -> None:
    estimate = started(load=20, compile=30, warm_up=5)
    estimate.note(WARM_UP, None, 120.0)
    assert estimate.rest(120.0) == 5


def test_an_overdue_phase_is_never_zero_or_less_and_unknown_in_the_end() -> None:
    estimate = started(load=20)
    estimates = [estimate.rest(100.0 + passed) for passed in range(200)]
    known = [rest for rest in estimates if rest is not None]
    assert min(known) == 2
    assert known == estimates[: len(known)]
    assert estimates[21] == 2
    assert estimates[60] is None


def test_a_short_phase_may_be_overdue_by_some_seconds() -> None:
    estimate = started(load=0.1, warm_up=1)
    assert estimate.rest(104.0) == pytest.approx(1.01)
    assert estimate.rest(110.0) is None


def test_shards_that_come_slower_than_before_lengthen_it() -> None:
    estimate = started(load=20, warm_up=5)
    estimate.note(LOAD, 0.0, 110.0)
    estimate.note(LOAD, 0.25, 120.0)
    assert estimate.rest(120.0) == 35
    assert estimate.rest(125.0) == 30
    estimate.note(LOAD, 0.5, 140.0)
    assert estimate.rest(140.0) == 35


def test_shards_that_come_fast_do_not_shorten_what_follows_them() -> None:
    estimate = started(load=20, warm_up=5)
    estimate.note(LOAD, 0.0, 105.0)
    estimate.note(LOAD, 1.0, 106.0)
    assert estimate.rest(106.0) == 19


def test_an_overdue_phase_that_counts_is_still_known() -> None:
    estimate = started(load=20, warm_up=5)
    estimate.note(LOAD, 0.0, 110.0)
    estimate.note(LOAD, 0.1, 150.0)
    assert estimate.rest(150.0) == 365


def test_a_phase_that_has_stopped_counting_is_unknown_in_the_end() -> None:
    estimate = started(load=20, warm_up=5)
    estimate.note(LOAD, 0.0, 105.0)
    estimate.note(LOAD, 0.5, 106.0)
    assert estimate.rest(106.5) == 18.5
    assert estimate.rest(150.0) is None


def test_a_new_bar_in_the_same_phase_does_not_turn_progress_back() -> None:
    estimate = started(load=20)
    for progress, at in ((0.0, 100.0), (1.0, 101.0), (0.0, 102.0), (0.5, 103.0)):
        estimate.note(LOAD, progress, at)
    assert estimate.rest(103.0) == 17


def test_what_is_kept_is_what_has_passed() -> None:
    estimate = Estimate({}, SELECT, 0.0)
    for phase, at in ((LOAD, 1.0), (COMPILE, 11.0), (WARM_UP, 12.5), (Phase.READY, 14.0)):
        estimate.note(phase, None, at)
    assert estimate.seconds(99.0) == {SELECT: 1, LOAD: 10, COMPILE: 1.5, WARM_UP: 1.5}
    assert estimate.rest(99.0) is None
