"""The measured scenarios: each loads one target and returns named figures."""

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from json import loads

from bench.gateway.checks import SILENCE_US, Bench, set_mock
from bench.gateway.clocks import settle
from bench.gateway.load import Load, Reading
from bench.gateway.requests import BIG_BYTES
from bench.gateway.running import Target

INTERVAL_US = 20_000
SHORT_EVENTS, LONG_EVENTS = 5, 100
LIVE_PAUSE_US = 2_000
HELD_STREAMS, HELD_SLOW = 5_000, 500
HOLD_SECONDS = 60.0

Figures = Mapping[str, float]


class Failed(Exception):
    """A target that did not do what was asked of it, so that there is no figure."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """`run` is given the seconds that one measure may take."""

    name: str
    run: Callable[[Bench, Target, float], Figures]


def json(bench: Bench, target: Target, seconds: float, *, connections: int) -> Figures:
    """Return short questions with short answers, each connection asking again at once."""
    set_mock(bench.up)
    reading = _run(bench, target, Load(request=bench.requests.json(), connections=connections), seconds)
    figures = _cpu_per(target, reading, reading.requests)
    figures |= {"requests_per_second": reading.requests / reading.seconds}
    return figures | reading.quantiles("latency")


def paced(bench: Bench, target: Target, seconds: float, *, streams: int) -> Figures:
    """Return long streams, each event a wake-up of its own: what a token costs."""
    set_mock(bench.up, interval_us=INTERVAL_US, events=LONG_EVENTS)
    load = _spread(Load(request=bench.requests.stream(), connections=streams))
    reading = _run(bench, target, load, seconds)
    figures = _cpu_per(target, reading, reading.events)
    return figures | {"events_per_second": reading.events / reading.seconds} | reading.quantiles("delay")


def tokens(bench: Bench, target: Target, seconds: float, *, streams: int) -> Figures:
    """Return short streams: the time to the first event, and between events."""
    set_mock(bench.up, interval_us=INTERVAL_US, events=SHORT_EVENTS)
    load = _spread(Load(request=bench.requests.stream(), connections=streams))
    reading = _run(bench, target, load, seconds)
    figures = {"merged": reading.merged / max(reading.events, 1)}
    return figures | reading.quantiles("first") | reading.quantiles("gap")


def upload(bench: Bench, target: Target, seconds: float) -> Figures:
    """Return a body of 10 MB, one after the other."""
    set_mock(bench.up)
    return _bodies(target, _run(bench, target, Load(request=bench.requests.big()), seconds))


def download(bench: Bench, target: Target, seconds: float) -> Figures:
    """Return an answer of 10 MB, one after the other."""
    set_mock(bench.up, answer_bytes=BIG_BYTES)
    return _bodies(target, _run(bench, target, Load(request=bench.requests.json()), seconds))


def live(bench: Bench, target: Target, seconds: float) -> Figures:
    """Return the path that a probe asks for, while 64 connections keep the target as busy as they can."""
    path = target.peer.live if target.peer else None
    if path is None:
        return {}
    set_mock(bench.up)
    crowd = Load(request=bench.requests.json(), connections=64, seconds=seconds + 0.5)
    probe = Load(request=bench.requests.get(path), pause_us=LIVE_PAUSE_US, seconds=seconds, urgent=True)
    process = bench.client.start(target, crowd)
    reading = bench.client.run(target, probe)
    crowded = bench.client.finish(process, crowd)
    busy = _cpu_per(target, crowded, 1)["cpu_us"] / crowded.seconds / 1e6
    return reading.quantiles("latency") | {"busy": busy, "errors": float(reading.errors)}


def idle(bench: Bench, target: Target, seconds: float) -> Figures:
    """Measure the memory that each open, silent stream takes."""
    set_mock(bench.up, interval_us=SILENCE_US, events=2)
    if not target.peer:
        return {}
    wanted = HELD_SLOW if target.peer.slow else HELD_STREAMS
    load = Load(request=bench.requests.stream(), connections=wanted, seconds=HOLD_SECONDS, hold=True)
    before = target.pss_bytes()
    process = bench.client.start(target, load)
    try:
        held = _held(process)
        settle(target.pids, seconds)
        after = target.pss_bytes()
    finally:
        process.communicate(timeout=HOLD_SECONDS)
    return {"bytes_per_stream": (after - before) / held, "streams": held, "rest_mib": before / 2**20}


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        *(Scenario(f"json-{count}", partial(json, connections=count)) for count in (1, 64)),
        Scenario("paced-64", partial(paced, streams=64)),
        *(Scenario(f"tokens-{count}", partial(tokens, streams=count)) for count in (1, 16, 64, 256)),
        Scenario("upload", upload),
        Scenario("download", download),
        Scenario("live", live),
        Scenario("idle", idle),
    )
}


def _held(process: "subprocess.Popen[str]") -> int:
    assert process.stdout
    said = loads(process.stdout.readline())
    if not said["held"]:
        raise Failed(f"no stream could be held: {said['error']}")
    return int(said["held"])


def _spread(load: Load) -> Load:
    """Return the load with its streams' starts spread over one interval, to avoid bursts."""
    return replace(load, stagger_us=INTERVAL_US // load.connections)


def _run(bench: Bench, target: Target, load: Load, seconds: float) -> Reading:
    """Return a warm-up of a fifth of it, the measure, and the rest that the target needs after it."""
    warm = max(0.3, seconds / 5)
    reading = bench.client.run(target, replace(load, seconds=seconds, warm_seconds=warm))
    settle((*target.pids, bench.up.pid))
    if not reading.requests + reading.events:
        raise Failed(f"nothing came in {seconds} s; {reading.errors} errors: {reading.error}")
    if reading.errors:
        raise Failed(f"{reading.errors} errors beside {reading.requests} answers: {reading.error}")
    return reading


def _cpu_per(target: Target, reading: Reading, count: int) -> dict[str, float]:
    if not count:
        raise Failed(f"nothing came in {reading.seconds:.1f} s")
    return {"cpu_us": sum(reading.cpu_us) / count} if target.pids else {}


def _bodies(target: Target, reading: Reading) -> Figures:
    if not reading.requests:
        raise Failed(f"no body of 10 MB in {reading.seconds:.1f} s")
    per_megabyte = _cpu_per(target, reading, reading.requests * BIG_BYTES // 1_000_000)
    return reading.quantiles("latency") | {f"{name}_per_mb": value for name, value in per_megabyte.items()}
