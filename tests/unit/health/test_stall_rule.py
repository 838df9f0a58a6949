"""An engine that stops at any moment is detected in time, with a simulated clock."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from heapq import heappop
from pathlib import Path

import pytest

from nim.event_loop import EventLoop, Timer
from nim.health import stall_detector
from nim.health.stall_detector import StallCallbacks, StallDetector
from nim.plan import Plan
from nim.settings.read import read_settings
from tests.process.plans import make_plan

SETTINGS = read_settings({})
DEFAULTS = (SETTINGS.stall_timeout, SETTINGS.probe_interval)
TOKENS_PER_SECOND = 50


class MadeUp(EventLoop):
    """Nothing is waited for: the next timer is due at once."""

    def __init__(self) -> None:
        self.time = 0.0
        super().__init__(lambda: self.time)

    def turn(self) -> None:
        at, _, timer = heappop(self._timers)
        self.time = max(self.time, at)
        if timer.callback:
            timer.callback()


@dataclass(kw_only=True)
class Engine:
    """Idle but for probes, or `busy`; until `stopped_at`, when the core stops, or all of it."""

    loop: MadeUp
    busy: bool
    all_of_it: bool
    latency: float
    stopped_at: float
    probed: list[float] = field(default_factory=list)

    def ask(
        self,
        _loop: EventLoop,
        _to: object,
        request: bytes,
        _longest: float,
        answered: Callable[[int, bytes], None],
    ) -> Timer:
        """Answer in place of an HTTP request, or never."""
        return self.loop.after(self.latency, lambda: self.answer(request, answered))

    def answer(self, request: bytes, answered: Callable[[int, bytes], None]) -> None:
        now, probe = self.loop.now(), request.startswith(b"POST")
        if now >= self.stopped_at and (probe or self.all_of_it):
            return
        if probe:
            self.probed.append(now)
        answered(200, b"" if probe else self.metrics(min(now, self.stopped_at)))

    def metrics(self, now: float) -> bytes:
        tokens = len(self.probed) + int(now * TOKENS_PER_SECOND) * self.busy
        return (
            b'vllm:num_requests_running{engine="0"} %d.0\n' % self.busy
            + b'vllm:generation_tokens_total{engine="0"} %d.0\n' % tokens
        )


class Noticed(Exception):
    """When; its argument."""


def watched(directory: Path, times: tuple[float, float]) -> Plan:
    """Return a plan with this time-out and this interval of probes."""
    timeout, interval = times
    return replace(make_plan(directory), stall_timeout_seconds=timeout, probe_interval_seconds=interval)


def noticed_after(plan: Plan, monkeypatch: pytest.MonkeyPatch, engine: Engine) -> float:
    """Return how long after the stop the engine is called stalled."""
    monkeypatch.setattr(stall_detector, "HttpRequest", engine.ask)

    def stalled(_: str) -> None:
        raise Noticed(engine.loop.now())

    callbacks = StallCallbacks(
        say=lambda *_: None, stalled=stalled, recovered=lambda: None, given_up=lambda _: None
    )
    StallDetector(plan, engine.loop, callbacks, None).begin()
    with pytest.raises(Noticed) as noticed:
        engine.loop.run()
    at: float = noticed.value.args[0]
    return at - engine.stopped_at


@pytest.mark.parametrize("latency", [0.004, 0.5])
@pytest.mark.parametrize(("busy", "all_of_it"), [(True, False), (False, False), (True, True), (False, True)])
def test_with_the_defaults_a_stop_is_noticed_within_the_time_out_at_whatever_moment(
    directory: Path, monkeypatch: pytest.MonkeyPatch, latency: float, busy: bool, all_of_it: bool
) -> None:
    timeout, interval = DEFAULTS
    plan = watched(directory, DEFAULTS)
    for tenth in range(int(10 * 2 * interval) + 1):
        at = 100 + tenth / 10
        engine = Engine(loop=MadeUp(), busy=busy, all_of_it=all_of_it, latency=latency, stopped_at=at)
        assert timeout / 3 - latency <= noticed_after(plan, monkeypatch, engine) <= timeout, at


@pytest.mark.parametrize("times", [(1, 0.5), (2, 1), (10, 5), (20, 10), (600, 300), (40, 30), (60, 120)])
def test_other_settings_hold_what_is_said_of_them(
    directory: Path, monkeypatch: pytest.MonkeyPatch, times: tuple[float, float]
) -> None:
    timeout, interval = times
    plan = watched(directory, times)
    for moment in range(100):
        at = 5 * timeout + moment / 50 * interval
        engine = Engine(loop=MadeUp(), busy=False, all_of_it=False, latency=0.001, stopped_at=at)
        assert noticed_after(plan, monkeypatch, engine) <= max(timeout, interval + timeout / 2), at


@pytest.mark.parametrize("busy", [True, False])
def test_an_engine_that_works_is_never_called_stalled(
    directory: Path, monkeypatch: pytest.MonkeyPatch, busy: bool
) -> None:
    engine = Engine(loop=MadeUp(), busy=busy, all_of_it=False, latency=0.5, stopped_at=20_000)
    assert noticed_after(watched(directory, DEFAULTS), monkeypatch, engine) > 0
    assert len(engine.probed) > 100 or busy
