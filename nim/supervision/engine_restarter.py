"""Start the engine, detect the loss of any of its processes, report it and restart the engine."""

from collections import deque
from collections.abc import Callable
from pathlib import Path
from signal import SIGKILL

from nim.cleanup.read_and_watch_processes import Process
from nim.cleanup.remove_orphaned_shm import OrphanedSharedMemory
from nim.event_loop import EventLoop, Steps, Task, until
from nim.failures.classify import Loss, classify, kernel_kills
from nim.failures.failure_classes import FailureClass
from nim.failures.program_exit import ProgramExit
from nim.frozen_dataclass import frozen_dataclass
from nim.health.adapters_poller import AdaptersPoller
from nim.health.detect_startup_phase import Start, Step
from nim.health.http_request import address_of
from nim.health.readiness_poller import Readiness
from nim.health.ready_message import ready_lines
from nim.health.stall_detector import StallCallbacks, StallDetector
from nim.health.startup_tracker import StartupTracker
from nim.health.warm_up import WarmUpRequests
from nim.health.write_status_files import StatusPublisher
from nim.logging.log_line_parsers import Record
from nim.plan import Plan
from nim.service_state import Failure, Phase
from nim.supervision.judge_process_loss import LossCallbacks, ProcessLossJudge
from nim.supervision.read_ahead_program import ReadAheadProgram
from nim.supervision.restart_policy import RestartCounter, RestartPolicy
from nim.supervision.supervisord.program_restarter import clear_strays
from nim.supervision.supervisord.supervised_program import Program

LOG_LINES = 500
AFTER_LOADING = (Phase.COMPILE, Phase.WARM_UP)


@frozen_dataclass
class EngineCallbacks:
    """Callbacks of the engine's restarter.

    `catch_up` reads the engine's pending log lines. `strays` finds processes that outlived it. `lost`: it was
    lost and is restarted; `give_up`: it is not restarted. `cut` reports the streams cut since a time.
    `api_key` is sent with probes.
    """

    say: Callable[[str, str], None]
    catch_up: Callable[[], None]
    strays: Callable[[], tuple[Process, ...]]
    lost: Callable[[Failure, ProgramExit], None]
    give_up: Callable[[Failure, ProgramExit], None]
    cut: Callable[[float], None] = lambda _: None
    api_key: str | None = None


class EngineRestarter:
    """The engine across all its restarts."""

    def __init__(
        self,
        plan: Plan,
        loop: EventLoop,
        program: Program,
        status: StatusPublisher,
        policy: RestartPolicy,
        callbacks: EngineCallbacks,
        read_ahead: ReadAheadProgram,
    ) -> None:
        self.program = program
        self._read_ahead = read_ahead
        self._plan, self._loop, self._status, self._callbacks = plan, loop, status, callbacks
        self._policy, self._restarts = policy, RestartCounter(policy)
        self._address = address_of(plan.engine)
        self._release = plan.engine.version
        self._fetches = plan.model.path is None or not Path(plan.model.path).is_dir()
        self._adapters = AdaptersPoller(plan, loop, status.step, callbacks.say, self._warm_up_first)
        self._readiness = Readiness(loop, self._address, self._adapters.begin)
        warm_up, key, say = plan.warm_up, callbacks.api_key, callbacks.say
        self._warm_up = WarmUpRequests(warm_up, loop, self._address, key, say) if warm_up else None
        self._losses = ProcessLossJudge(loop, self._address, self._loss_callbacks())
        self._startup = StartupTracker(plan, loop, status, callbacks.say)
        self._orphans = OrphanedSharedMemory(Path(plan.run_dir), loop, callbacks.say)
        on_stall = StallCallbacks(
            say=callbacks.say, stalled=self._stalled, recovered=self._recovered, given_up=self._given_up
        )
        self._stalls = StallDetector(plan, loop, on_stall, callbacks.api_key)
        self._task: Task | None = None
        self._served = self._exit_expected = False
        self._ready_at: float | None = None
        self._begin()
        program.on_exit = self._on_exit

    def _loss_callbacks(self) -> LossCallbacks:
        return LossCallbacks(
            say=self._callbacks.say,
            was_ready=lambda: self._ready_at is not None,
            doubted=self._status.doubted,
            works_on=self._works_on,
            kill=self._kill,
        )

    def start(self) -> None:
        """Start the engine through supervisord, and begin to track its start and to poll its readiness."""
        self._begin()
        self._adapters.forget()
        self._startup.begin()
        self._orphans.begin()
        if self._warm_up or self._adapters.needed:
            self._status.hold()
        self.program.start()
        self._read_ahead.prepare()
        self._status.step(self._start.begin())
        self._readiness.begin()

    def read(self, record: Record) -> None:
        """Keep one log record of the engine for a failure report, and update the start phase from it."""
        self._log.append(record)
        self._read_ahead.start()
        if self.program.process and not self._exit_expected:
            self._losses.meet(record, self.program.process)
        self.progress(record.message)

    def progress(self, text: str) -> None:
        """Publish the start phase that a log line or progress bar shows; nothing once ready or ended."""
        if self._ready_at is not None or self._exit_expected or not self.program.alive:
            return
        if step := self._start.read(text):
            if step.phase is not self._status.state.phase:
                self._callbacks.say("INFO", step.message)
            self._status.step(step)
            if step.phase in AFTER_LOADING:
                self._read_ahead.stop()
        if self._start.serving:
            self._readiness.hurry()

    @property
    def starting(self) -> bool:
        """Return whether the engine runs and is not ready yet."""
        return self.program.alive and self._ready_at is None

    def expect_exit(self) -> None:
        """Treat the engine's next exit as intended: no restart follows; cancel all its checks and watches."""
        self.program.on_exit = lambda _: None
        self._exit_expected = True
        self._forget()

    def clear_up(self) -> None:
        """Remove the shared memory that the engine left; call this when none of its processes runs."""
        self._orphans.end()

    def _begin(self) -> None:
        """Reset what is known of a start: phase, log lines, lost process, OOM kills. Starts nothing."""
        self._start = Start(fetches=self._fetches, release=self._release)
        self._log: deque[Record] = deque(maxlen=LOG_LINES)
        self._losses.begin()
        self._kill_reason: str | None = None
        self._kills = kernel_kills()

    # while the engine runs

    def _warm_up_first(self) -> None:
        """Send the warm-up requests to an engine that answers, if there are any; then it is ready."""
        self._read_ahead.stop()
        if self._warm_up:
            self._status.step(Step(phase=self._start.phase, message="the engine answers its first requests"))
            self._warm_up.begin(self._is_ready)
        else:
            self._is_ready()

    def _is_ready(self) -> None:
        """Publish and log ready, watch all processes of the engine, and begin to detect stalls."""
        self._served = True
        self._ready_at = self._loop.now()
        if self.program.process:  # first, so that no exit after this goes unnoticed
            self._losses.watch_all(self.program.process)
        seconds = self._status.ready()
        read = self._read_ahead.result
        self._startup.ready(seconds, read.text if read else None)
        for line in ready_lines(self._plan):
            self._callbacks.say("INFO", line)
        self._stalls.begin()

    def _works_on(self) -> None:
        """Publish ready, or stalled, for an engine that is healthy without the process it lost."""
        if self._stalls.why:
            self._status.stalled(self._stalls.why)
        else:
            self._status.ready()

    def _stalled(self, why: str) -> None:
        """Publish not ready with `why` the engine is stalled, count the stall and log it."""
        self._callbacks.say("ERROR", f"not ready: {why}")
        self._status.count_stall()
        self._status.stalled(why)

    def _recovered(self) -> None:
        """Log that the stalled engine works again; publish ready, unless a lost process is being judged."""
        self._callbacks.say("WARNING", "the engine works again")
        if not self._losses.is_judging:
            self._status.ready()

    def _given_up(self, why: str) -> None:
        """Log and send SIGKILL to an engine that has been stalled for too long."""
        self._kill_reason = why
        self._stalls.end()
        self._callbacks.say("ERROR", f"{why}; it is killed")
        self._kill_now()

    def _kill(self) -> None:
        """Log that the engine does not exit by itself, and send SIGKILL to it."""
        self._callbacks.say("WARNING", "the engine does not end by itself and is killed")
        self._kill_now()

    def _kill_now(self) -> None:
        """Send SIGKILL to the engine's process; nothing if it does not run."""
        if self.program.process:
            self.program.process.send(SIGKILL)

    # after the engine has ended

    def _forget(self) -> None:
        """Cancel every pending check, watch and restart of the engine."""
        self._readiness.end()
        self._adapters.end()
        if self._warm_up:
            self._warm_up.end()
        self._read_ahead.stop()
        self._startup.end()
        self._stalls.end()
        self._losses.end()
        if self._task:
            self._task.cancel()
        self._task = self._ready_at = None

    def _on_exit(self, end: ProgramExit) -> None:
        """Handle an exit that was not requested: report and classify the loss, then restart or give up."""
        was_ready = self._ready_at is not None
        well_until = self._stalls.since if self._kill_reason else self._loop.now()
        well_seconds = 0.0 if self._ready_at is None else well_until - self._ready_at
        self._forget()
        self._callbacks.cut(self._loop.now() - 1 if self._losses.lost_at is None else self._losses.lost_at)
        self._callbacks.catch_up()
        loss = Loss(
            end=end,
            log=tuple(self._log),
            lost_part=self._losses.lost_process,
            kernel_killed=self._kernel_killed(),
            was_ready=was_ready,
            stalled=self._kill_reason,
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
        self._task = Task(self._loop, self._restart(delay))

    def _pause(self, kind: FailureClass, well_seconds: float) -> float | None:
        """Return the seconds before a restart; None if there must be none, as after a failed first start."""
        if not self._served or not kind.retry:
            return None
        return self._restarts.lost(well_seconds)

    def _kernel_killed(self) -> bool:
        """Return whether the kernel's count of OOM kills, read from /sys or /proc, has grown meanwhile."""
        now = kernel_kills()
        return now is not None and self._kills is not None and now > self._kills

    def _restart(self, delay: float) -> Steps:
        """Kill leftovers of the old engine, wait `delay` seconds, start the engine again (a generator)."""
        yield from clear_strays(self._loop, self._callbacks.strays)
        yield from until(self._loop, lambda: False, delay)
        self._task = None
        self._status.starting_again()
        self.start()
