"""Keeps the engine: follows its start, notices the loss of any part of it, says why, starts it again."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL

from nim.cleanup.orphaned_shm import OrphanedSharedMemory
from nim.cleanup.process_table import Process
from nim.event_loop import EventLoop, Steps, Task, until
from nim.failures.classify import Loss, classify, kernel_kills
from nim.failures.exit import Exit
from nim.failures.failure_classes import Kind
from nim.health.engine_processes import EngineProcesses
from nim.health.http_request import HttpRequest, address_of
from nim.health.phases import Start
from nim.health.readiness import Readiness, ask_health
from nim.health.stalls import StallCallbacks, StallDetector
from nim.health.startup_tracker import StartupTracker
from nim.health.status_files import StatusPublisher
from nim.logging.records import Record
from nim.plan import Plan
from nim.state import Failure
from nim.supervision.program import Program
from nim.supervision.restart_policy import RestartCounter, RestartPolicy
from nim.supervision.restarter import LOOK_SECONDS

LOG_LINES = 500
# vLLM's API server ends 1 to 6 seconds after its core or a worker, later while it starts. Else it is ended.
PART_LOST_SECONDS, PART_LOST_STARTING_SECONDS = 8.0, 30.0
STRAYS_GONE_SECONDS = 30.0
# How long the shared memory of a dead engine may take to be removed by whom Python left for that.
TIDY_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCallbacks:
    """What the keeper of the engine needs of others.

    `catch_up` reads what the engine has logged by now. `strays` finds what outlived it. `lost`: it is lost
    and comes back; `give_up`: it is lost for good. `cut` names the streams that ended with it, since then.
    `api_key` is what it wants to see.
    """

    say: Callable[[str, str], None]
    catch_up: Callable[[], None]
    strays: Callable[[], tuple[Process, ...]]
    lost: Callable[[Failure, Exit], None]
    give_up: Callable[[Failure, Exit], None]
    cut: Callable[[float], None] = lambda _: None
    api_key: str | None = None


class EngineRestarter:
    """One engine, through all its lives."""

    def __init__(
        self,
        plan: Plan,
        loop: EventLoop,
        program: Program,
        board: StatusPublisher,
        policy: RestartPolicy,
        callbacks: EngineCallbacks,
    ) -> None:
        self.program = program
        self._loop, self._status, self._callbacks = loop, board, callbacks
        self._policy, self._restarts = policy, RestartCounter(policy)
        self._address = address_of(plan.engine)
        self._release = plan.engine.version
        self._fetches = plan.model.path is None or not Path(plan.model.path).is_dir()
        self._readiness = Readiness(loop, self._address, self._is_ready)
        self._processes = EngineProcesses(loop, self._part_lost)
        self._startup = StartupTracker(plan, loop, board, callbacks.say)
        self._orphans = OrphanedSharedMemory(Path(plan.run_dir), loop, callbacks.say)
        on_stall = StallCallbacks(
            say=callbacks.say, stalled=self._stalled, recovered=self._recovered, given_up=self._given_up
        )
        self._stalls = StallDetector(plan, loop, on_stall, callbacks.api_key)
        self._script: Task | None = None
        self._doubt: HttpRequest | None = None
        self._served = self._exit_expected = False
        self._ready_at: float | None = None
        self._begin()
        program.on_exit = self._ended

    def start(self) -> None:
        """Start the engine and ask from now on whether it is ready."""
        self._begin()
        self._startup.begin()
        self._orphans.begin()
        self.program.start()
        self._status.step(self._start.begin())
        self._readiness.begin()

    def read(self, record: Record) -> None:
        """A line of its log."""
        self._log.append(record)
        if self.program.process and not self._exit_expected:
            self._processes.meet(record, self.program.process)
        self.progress(record.message)

    def progress(self, text: str) -> None:
        """A line, or what a progress bar shows."""
        if self._ready_at is not None or self._exit_expected or not self.program.alive:
            return
        if step := self._start.read(text):
            self._status.step(step)
        if self._start.serving:
            self._readiness.hurry()

    def expect_exit(self) -> None:
        """From now on its end is wanted."""
        self.program.on_exit = lambda _: None
        self._exit_expected = True
        self._forget()

    def clear_up(self) -> None:
        """Nothing of it runs any more: nothing that it made stays."""
        self._orphans.end()

    def _begin(self) -> None:
        self._start = Start(fetches=self._fetches, release=self._release)
        self._log: deque[Record] = deque(maxlen=LOG_LINES)
        self._lost_part: str | None = None
        self._lost_at: float | None = None
        self._killed_for: str | None = None
        self._kills = kernel_kills()

    # while it runs

    def _is_ready(self) -> None:
        self._served = True
        self._ready_at = self._loop.now()
        if self.program.process:  # first of all: who ends after that is known to be missed
            self._processes.watch_all(self.program.process)
        seconds = self._status.ready()
        self._startup.ready(seconds)
        self._stalls.begin()

    def _part_lost(self, process: Process) -> None:
        """Not ready until it is known what that means."""
        name = f"{process.name} (pid {process.pid})"
        if self._script:
            return
        self._callbacks.say("WARNING", f"{name}, a process of the engine, has ended")
        self._lost_part, self._lost_at = name, self._loop.now()
        if self._ready_at is not None:
            self._status.doubted(f"{name}, a process of the engine, has ended")
        self._script = Task(self._loop, self._doubt_it())

    def _doubt_it(self) -> Steps:
        """It ends by itself, which ends this script; or it works on; or it has to be ended."""
        yield PART_LOST_STARTING_SECONDS if self._ready_at is None else PART_LOST_SECONDS
        self._script = None
        if self._ready_at is None:
            self._kill()
        else:
            self._doubt = ask_health(self._loop, self._address, self._heard_in_doubt)

    def _heard_in_doubt(self, well: bool) -> None:
        self._doubt = None
        if well:
            self._lost_part = self._lost_at = None
            self._callbacks.say("INFO", "the engine works on without it")
            if self._stalls.why:
                self._status.stalled(self._stalls.why)
            else:
                self._status.ready()
        else:
            self._kill()

    def _stalled(self, why: str) -> None:
        self._callbacks.say("ERROR", f"not ready: {why}")
        self._status.count_stall()
        self._status.stalled(why)

    def _recovered(self) -> None:
        self._callbacks.say("WARNING", "the engine gets on again")
        if not (self._script or self._doubt):
            self._status.ready()

    def _given_up(self, why: str) -> None:
        self._killed_for = why
        self._stalls.end()
        self._callbacks.say("ERROR", f"{why}; it is killed")
        self._end_at_once()

    def _kill(self) -> None:
        self._callbacks.say("WARNING", "the engine does not end by itself and is killed")
        self._end_at_once()

    def _end_at_once(self) -> None:
        if self.program.process:
            self.program.process.send(SIGKILL)

    # after it

    def _forget(self) -> None:
        """Ask nothing, watch nothing, plan nothing."""
        self._readiness.end()
        self._startup.end()
        self._stalls.end()
        self._processes.forget()
        for pending in (self._script, self._doubt):
            if pending:
                pending.cancel()
        self._script = self._doubt = self._ready_at = None

    def _ended(self, end: Exit) -> None:
        """Nobody asked for that: a loss, whatever its exit code."""
        was_ready = self._ready_at is not None
        well_until = self._stalls.since if self._killed_for else self._loop.now()
        well_seconds = 0.0 if self._ready_at is None else well_until - self._ready_at
        self._forget()
        self._callbacks.cut(self._loop.now() - 1 if self._lost_at is None else self._lost_at)
        self._callbacks.catch_up()
        loss = Loss(
            end=end,
            log=tuple(self._log),
            lost_part=self._lost_part,
            kernel_killed=self._kernel_killed(),
            was_ready=was_ready,
            stalled=self._killed_for,
        )
        kind, failure = classify(loss)
        delay = self._pause(kind, well_seconds)
        if delay is None:
            self._callbacks.give_up(failure, end)
            return
        again = f"restart {self._restarts.in_a_row} of {self._policy.tries} in {delay:g} s"
        self._callbacks.lost(failure, end)
        self._callbacks.say("WARNING", f"the engine is started again: {again}")
        self._status.lost(failure, f"the engine was lost ({kind.name}); {again}")
        self._script = Task(self._loop, self._revive(delay))

    def _pause(self, kind: Kind, well_seconds: float) -> float | None:
        """None if there shall be no restart: an orchestrator knows better what to do with a failed start."""
        if not self._served or not kind.retry:
            return None
        return self._restarts.lost(well_seconds)

    def _kernel_killed(self) -> bool:
        now = kernel_kills()
        return now is not None and self._kills is not None and now > self._kills

    def _revive(self, delay: float) -> Steps:
        """What is left of the old engine goes before the pause: it holds memory that the new one needs."""
        yield from clear_strays(self._loop, self._callbacks.strays)
        yield from until(self._loop, lambda: False, delay)
        self._script = None
        self._status.starting_again()
        self.start()


def clear_strays(loop: EventLoop, strays: Callable[[], tuple[Process, ...]]) -> Steps:
    """Kill what outlived its parent and wait until it is gone."""
    began = loop.now()
    while (left := strays()) and loop.now() < began + STRAYS_GONE_SECONDS:
        for process in left:
            if loop.now() > began + TIDY_SECONDS or not process.tidies_up:
                process.send(SIGKILL)
        yield LOOK_SECONDS
