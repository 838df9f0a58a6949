"""Faults that the fake engine commits on command, and starts that fail."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from random import Random
from typing import Any

from tests.fakes.words import CRASHES
from tests.soak.faults import CUT, LOST, Codes, Fault, hit
from tests.soak.kinds import FAKE
from tests.soak.stage import Stage


def ordered(lifted: dict[str, Any] | None = None, **mood: Any) -> Callable[[Stage, Random], Codes]:
    """Return a mood for a moment. Without `lifted` the engine is to die of it."""

    def do(stage: Stage, rng: Random) -> Codes:
        (victim,) = stage.players("API server")
        stage.running.engine.order(**mood)
        if lifted is None:
            stage.wait(lambda: not victim.alive, "the engine's death")
        else:
            time.sleep(rng.uniform(0.2, 1.0))
            stage.running.engine.order(**lifted)
        return ()

    return do


def crash_core(stage: Stage, rng: Random) -> Codes:
    """Return whatever it says at last: it has shown that it can start."""
    return ordered(crash_in="serve", crash=rng.choice([*CRASHES]))(stage, rng)


def drain(stage: Stage, rng: Random) -> Codes:
    """Run `nim drain` as a preStop hook does; it returns after the end."""
    command = (sys.executable, "-m", "nim", "drain")
    env = {"NIM_RUN_DIR": str(stage.run_dir), "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as draining:
        try:
            stage.await_end()
            assert draining.wait(stage.kind.patience_seconds) == 0, draining.communicate()[1]
        finally:
            draining.kill()
    return stage.clean_codes


def cut_long_answers(stage: Stage, rng: Random) -> Codes:
    """Send SIGTERM during answers longer than the shutdown budget."""
    stage.running.engine.order(interval_ms=2000)
    time.sleep(0.3)
    stage.running.send(signal.SIGTERM)
    return (CUT,)


def stop_while_loading(stage: Stage, rng: Random) -> Codes:
    """Return the start is not over; perhaps it has hardly begun."""
    stage.begin(**({"phases": {"load": 5}} if stage.kind is FAKE else {}))
    time.sleep(rng.choice((0.1, 0.3, 1.0, 2.0)))
    stage.running.send(signal.SIGTERM)
    return (0, -signal.SIGTERM)  # the latter before there is a PID 1


def lose_while_loading(stage: Stage, rng: Random) -> Codes:
    """Return an engine that was never ready is not started again."""
    stage.begin(hang_in="load")
    stage.wait(lambda: bool(stage.players("core")), "the core")
    hit(stage, rng, rng.choice(("API server", "core")))
    return (LOST,)


def crash(stage: Stage, rng: Random) -> Codes:
    """Crash the engine in some phase, for some reason."""
    stage.begin(crash_in=rng.choice(("start", "load", "compile", "warm-up")), crash=rng.choice([*CRASHES]))
    return (LOST,)


def deaf_engine(stage: Stage, rng: Random) -> Codes:
    """Stop a service whose engine and its children ignore SIGTERM."""
    stage.up(deaf=True)
    stage.running.send(signal.SIGTERM)
    return (CUT,)


def engine_with_orphans(stage: Stage, rng: Random) -> Codes:
    """Stop a service whose engine leaves children behind, one in a session of its own."""
    stage.up(orphans=["group", "session"])
    hit(stage, rng, "API server")
    stage.be_back()
    stage.running.send(signal.SIGTERM)
    return stage.clean_codes


ORDERS = (
    Fault(name="the engine dies in mid-answer", do=ordered(die_after=3), fake_only=True),
    Fault(name="the core crashes", do=crash_core, fake_only=True),
    Fault(name="the engine cuts answers", do=ordered({"cut_after": None}, cut_after=3), fake_only=True),
    Fault(name="the engine answers 500", do=ordered({"fail": {}}, fail={"*": 500}), fake_only=True),
    Fault(
        name="the engine stalls",
        do=ordered({"stall_after": None}, stall_after=2),
        harmless=True,
        fake_only=True,
    ),
)
ENDINGS = (
    Fault(name="nim drain", do=drain, ends=True, gentle=True),
    Fault(name="SIGTERM under long answers", do=cut_long_answers, ends=True, fake_only=True),
)
# These bring a service of their own.
STARTS = (
    Fault(name="SIGTERM while loading", do=stop_while_loading, ends=True),
    Fault(name="kill a loading engine", do=lose_while_loading, ends=True, fake_only=True),
    Fault(name="a crash while starting", do=crash, ends=True, fake_only=True),
    Fault(name="a deaf engine", do=deaf_engine, ends=True, fake_only=True),
    Fault(name="an engine with orphans", do=engine_with_orphans, ends=True, fake_only=True),
)
