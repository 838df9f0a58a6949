"""Faults injected into a running service, and the exit codes that are right after each."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from nim.cleanup.read_and_watch_processes import Process
from tests.soak.stage import Stage

Codes = tuple[int, ...]
LOST, GATEWAY_LOST, CUT = 70, 71, 143
# A stop of a service whose engine was just lost: whether a stream was cut is a matter of milliseconds.
EITHER = (0, CUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`harmless`: every request gets a whole answer all the same. `gentle`: exit code 0 means none was cut.

    `ends`: the service with it. `fake_only`: it is an order to the fake engine, or too slow with a real one.
    `false_ends`: vLLM itself, told to end by a stranger, calls broken answers complete.
    """

    name: str
    do: Callable[[Stage, Random], Codes]
    ends: bool = False
    harmless: bool = False
    gentle: bool = False
    false_ends: bool = False
    fake_only: bool = False


def hit(
    stage: Stage, rng: Random, role: str, number: int = signal.SIGKILL, *, surely: bool = True
) -> Process | None:
    """Signal one of the processes of a role; return it, or None if there is none and not `surely`."""
    players = stage.players(role)
    if not players:
        assert not surely, f"the soak finds no {role} among {dict(stage.roles())}"
        return None
    victim = rng.choice(players)
    victim.send(number)
    return victim


def kill(role: str, *, surely: bool = True) -> Callable[[Stage, Random], Codes]:
    """Return a fault that sends SIGKILL and waits for the end."""

    def do(stage: Stage, rng: Random) -> Codes:
        victim = hit(stage, rng, role, surely=surely)
        stage.wait(lambda: victim is None or not victim.alive, f"the end of the {role}")
        return ()

    return do


def pause(role: str, *, surely: bool = True) -> Callable[[Stage, Random], Codes]:
    """Return a fault that sends SIGSTOP, and SIGCONT after a moment."""

    def do(stage: Stage, rng: Random) -> Codes:
        victim = hit(stage, rng, role, signal.SIGSTOP, surely=surely)
        time.sleep(rng.uniform(0.2, 1.5))
        if victim:
            victim.send(signal.SIGCONT)
        return ()

    return do


def tell_engine_to_end(stage: Stage, rng: Random) -> Codes:
    """Send SIGTERM to the engine instead of the service."""
    victim = hit(stage, rng, "API server", signal.SIGTERM)
    stage.wait(lambda: victim is None or not victim.alive, "the end of the engine")
    return ()


def two_at_once(stage: Stage, rng: Random) -> Codes:
    """Return two faults shortly after each other, the second perhaps while the first is being mended."""
    for do in rng.choices(_ANY_TWO, k=2):
        do(stage, rng)
        time.sleep(rng.choice((0.0, 0.05, 0.3, 1.0)))
    return ()


def signalled(number: int) -> Callable[[Stage, Random], Codes]:
    """Return a signal to PID 1."""

    def do(stage: Stage, rng: Random) -> Codes:
        stage.running.send(number)
        return stage.clean_codes

    return do


def interrupt_twice(stage: Stage, rng: Random) -> Codes:
    """Send SIGINT repeatedly until the service has ended."""
    stage.running.send(signal.SIGINT)
    for _ in range(3):
        time.sleep(rng.uniform(0.05, 0.5))
        stage.running.send(signal.SIGINT)
    return EITHER


def stop_during_restart(stage: Stage, rng: Random) -> Codes:
    """Send SIGTERM at some moment after the loss of the engine."""
    hit(stage, rng, rng.choice(("API server", "core")))
    time.sleep(rng.choice((0.0, rng.uniform(0, 0.1), rng.uniform(0, 1.0))))
    stage.running.send(signal.SIGTERM)
    return EITHER


def stop_with_one_paused(stage: Stage, rng: Random) -> Codes:
    """Stop the service while one process is paused, which must not delay the end."""
    hit(stage, rng, rng.choice(("API server", "core", "nginx master", "nginx worker")), signal.SIGSTOP)
    stage.running.send(signal.SIGTERM)
    return EITHER


def kill_pid_1(stage: Stage, rng: Random) -> Codes:
    """Return what PID 1 of a container never survives; outside one its children have to notice."""
    hit(stage, rng, "PID 1")
    return (-signal.SIGKILL,)


def kill_supervisord(stage: Stage, rng: Random) -> Codes:
    """Kill supervisord, without which nothing can be restarted."""
    hit(stage, rng, "supervisord")
    return (GATEWAY_LOST,)


def again_and_again(role: str, code: int) -> Callable[[Stage, Random], Codes]:
    """Return a fault that kills each new process until the service gives up."""

    def do(stage: Stage, rng: Random) -> Codes:
        deadline = time.monotonic() + stage.kind.patience_seconds
        while stage.running.process.poll() is None and time.monotonic() < deadline:
            hit(stage, rng, role, surely=False)
            time.sleep(0.02)
        return (code,)

    return do


_ANY_TWO = (
    *(
        kill(role, surely=False)
        for role in ("API server", "core", "engine worker", "nginx master", "nginx worker", "middleware")
    ),
    pause("core", surely=False),
)
KILLS = (
    Fault(name="kill the API server", do=kill("API server")),
    Fault(name="kill the core", do=kill("core")),
    Fault(name="kill an engine worker", do=kill("engine worker")),
    Fault(name="kill nginx's master", do=kill("nginx master")),
    Fault(name="kill a worker of nginx", do=kill("nginx worker")),
    Fault(name="kill the middleware", do=kill("middleware"), harmless=True),
    Fault(name="tell the engine to end", do=tell_engine_to_end, false_ends=True),
    Fault(name="two faults at once", do=two_at_once),
)
PAUSES = tuple(
    Fault(name=f"pause {role}", do=pause(role), harmless=True, fake_only=role != "core")
    for role in (
        "core",
        "API server",
        "nginx master",
        "nginx worker",
        "middleware",
        "supervisord",
        "PID 1",
    )
)
ENDS = (
    Fault(name="SIGTERM", do=signalled(signal.SIGTERM), ends=True, gentle=True),
    Fault(name="Ctrl-C", do=signalled(signal.SIGINT), ends=True, gentle=True, fake_only=True),
    Fault(name="Ctrl-C again and again", do=interrupt_twice, ends=True, gentle=True, fake_only=True),
    Fault(name="SIGTERM during a restart", do=stop_during_restart, ends=True),
    Fault(name="SIGTERM with one paused", do=stop_with_one_paused, ends=True, fake_only=True),
    Fault(name="kill PID 1", do=kill_pid_1, ends=True),
    Fault(name="kill supervisord", do=kill_supervisord, ends=True),
    Fault(
        name="kill the engine until the end",
        do=again_and_again("API server", LOST),
        ends=True,
        fake_only=True,
    ),
    Fault(
        name="kill nginx until the end",
        do=again_and_again("nginx master", GATEWAY_LOST),
        ends=True,
        fake_only=True,
    ),
)
