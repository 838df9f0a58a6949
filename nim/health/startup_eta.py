"""Estimate the time until ready from earlier starts and the present one. Pure: no clock."""

from collections.abc import Iterable, Mapping, Sequence
from math import inf, isfinite

from nim.health.detect_startup_phase import STARTING
from nim.health.startup_history import Run
from nim.service_state import Phase

# A phase may exceed its usual duration by this much; beyond that the ETA is unknown.
OVERRUN_SHARE, OVERRUN_SECONDS = 1.0, 5.0
# An overdue phase is estimated to need this share of its usual duration: less than nothing is never true.
OVERDUE_SHARE = 0.1
# Phases that a warm compile cache shortens.
_CACHED = (Phase.COMPILE, Phase.WARM_UP)


def median(values: Iterable[float]) -> float:
    """Return the median of `values`, of which there must be at least one."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return (ordered[middle] + ordered[~middle]) / 2


def expect(runs: Sequence[Run], *, warm: bool, downloads: bool) -> dict[Phase, float]:
    """Return {phase: expected seconds} from earlier starts; phases that most of them lacked are left out.

    The fetch phase of a start that downloads comes from earlier starts that did; infinite without any.
    """
    alike = [run for run in runs if run.warm == warm] or runs
    expected: dict[Phase, float] = {}
    for phase in STARTING if runs else ():
        among = alike if phase in _CACHED else runs
        seen = [_without_download(run, phase) for run in among if phase in run.seconds]
        if 2 * len(seen) > len(among):
            expected[phase] = median(seen)
    if runs and downloads:
        downloaded = [run.download_seconds for run in runs if run.download_seconds > 0]
        expected.setdefault(Phase.FETCH, 0)
        expected[Phase.FETCH] += median(downloaded) if downloaded else inf
    return expected


def _without_download(run: Run, phase: Phase) -> float:
    """Return the seconds of a phase in an earlier start, without its download, at least 0."""
    return max(run.seconds[phase] - (run.download_seconds if phase is Phase.FETCH else 0), 0)


class Estimate:
    """The ETA of one start. All times come from one monotonic clock."""

    def __init__(self, expected: Mapping[Phase, float], phase: Phase, now: float) -> None:
        self.expected = expected
        self._phase, self._since = phase, now
        self._passed: dict[Phase, float] = {}
        self._first: tuple[float, float] | None = None
        self._last: tuple[float, float] | None = None

    @property
    def total(self) -> float | None:
        """Return the expected seconds of the whole start; None without history, or if infinite."""
        total = sum(self.expected.values())
        return total if self.expected and isfinite(total) else None

    def note(self, phase: Phase, progress: float | None, now: float) -> None:
        """Record the phase and its progress at time `now`."""
        if phase is not self._phase:
            self._passed[self._phase] = self._passed.get(self._phase, 0) + now - self._since
            self._phase, self._since = phase, now
            self._first = self._last = None
        if progress is not None and (self._last is None or progress > self._last[0]):
            self._last = (progress, now)
            self._first = self._first or self._last

    def seconds(self, now: float) -> dict[Phase, float]:
        """Return {phase: seconds spent in it so far}, the present phase included."""
        present = self._passed.get(self._phase, 0) + now - self._since
        return {phase: s for phase, s in (self._passed | {self._phase: present}).items() if phase in STARTING}

    def rest(self, now: float, download_seconds: float | None = None) -> float | None:
        """Return the seconds until ready; None if unknown, or if this start differs much from earlier ones.

        `download_seconds`: time left of the present download, if measured.
        """
        if not self.expected or self._phase not in STARTING:
            return None
        later = STARTING[STARTING.index(self._phase) + 1 :]
        here = self._here(now) if download_seconds is None else download_seconds
        if here is None:
            return None
        rest = here + sum(self.expected.get(phase, 0) for phase in later)
        return rest if isfinite(rest) else None

    def _here(self, now: float) -> float | None:
        """Return the seconds left in this phase: its usual duration and progress; None if unknown."""
        elapsed = now - self._since
        usual = self.expected.get(self._phase)
        counted = self._by_progress(now)
        if usual is None or not isfinite(usual):
            return counted
        if elapsed > usual + max(usual * OVERRUN_SHARE, OVERRUN_SECONDS):
            return counted
        left = max(usual - elapsed, usual * OVERDUE_SHARE)
        return left if counted is None else max(left, counted)

    def _by_progress(self, now: float) -> float | None:
        """Return the seconds left in this phase at the pace of its progress; None without pace or if overdue.

        None if the next count is overdue: progress has stopped.
        """
        if self._first is None or self._last is None or self._last[0] <= self._first[0]:
            return None
        (first, began), (last, seen) = self._first, self._last
        pace = (last - first) / max(seen - began, 1e-3)
        left = (1 - last) / pace - (now - seen)
        return left if left >= 0 else None
