"""The controller in PID 1: starts and restarts the programs, shuts the service down, sets the exit code."""

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from nim.cleanup.process_table import Process, strays
from nim.errors import STOPPED_UNCLEANLY, EngineLost, GatewayLost
from nim.event_loop import EventLoop, Steps, Task, until
from nim.failures import report
from nim.failures.cut_streams import CutStreams
from nim.failures.failure_classes import NGINX_LOST, SUPERVISOR_LOST, Kind
from nim.failures.program_exit import Exit
from nim.health.status_files import StatusPublisher, write_file
from nim.log_format import severity
from nim.logging.log_writer import LogWriter
from nim.logging.records import Record
from nim.plan import MIDDLEWARE_SOCKET, STATUS_SOCKET, VERDICT_FILE, Plan
from nim.preflight.tcp_sockets import count_connections
from nim.state import Failure
from nim.supervision import restart_policy
from nim.supervision.engine_restarter import EngineCallbacks, EngineRestarter, clear_strays
from nim.supervision.program import Program
from nim.supervision.restart_policy import RestartPolicy
from nim.supervision.restarter import Restarter
from nim.supervision.shutdown_budget import ShutdownBudget
from nim.supervision.supervisor_client import Supervisor, SupervisorError

LAST_LINES = 10
FAST_STOP_SECONDS = 1.0
SUPERVISOR_STOP_SECONDS = 2.0
# How long each stage of a shutdown still gets after Ctrl-C is pressed again.
IMPATIENT_SECONDS = 0.3
# Streams that ended within this time before the service did are reported as cut by its end.
CUTS_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicies:
    """The restart policy of each program."""

    engine: RestartPolicy = restart_policy.ENGINE
    nginx: RestartPolicy = restart_policy.NGINX
    middleware: RestartPolicy = restart_policy.MIDDLEWARE


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the controller works with. `supervisor_pid` is a child of this process."""

    plan: Plan
    loop: EventLoop
    supervisor: Supervisor
    supervisor_pid: int
    log_writer: LogWriter
    catch_up: Callable[[str], None]
    api_key: str | None = None
    policies: RestartPolicies = field(default_factory=RestartPolicies)


class Controller:
    """Controls one service from its start until `exit_code` is set and the loop has stopped."""

    def __init__(self, around: Surroundings) -> None:
        self._around, self._loop, self._plan = around, around.loop, around.plan
        self._say = around.log_writer.say
        self._run_dir = Path(around.plan.run_dir)
        self.exit_code = 0
        self._failure: Failure | None = None
        self._supervisor_lives = True
        self._hurry = 0
        self._nginx_log: deque[str] = deque(maxlen=LAST_LINES)
        self._supervisor_log: deque[str] = deque(maxlen=LAST_LINES)
        self._ending: Task | None = None
        self.board = StatusPublisher(self._run_dir)
        self.cut_streams = CutStreams(self._loop, self._say)
        self.stopping_since = self._loop.now()
        self.engine = self._engine_restarter()
        self.nginx = self._restarter("nginx", around.policies.nginx, STATUS_SOCKET, self._streams_lost)
        self.middleware = self._restarter(
            "middleware", around.policies.middleware, MIDDLEWARE_SOCKET, lambda: ""
        )
        around.supervisor.on_up = self._start

    def _restarter(
        self, name: str, policy: RestartPolicy, leftover: str, consequence: Callable[[], str]
    ) -> Restarter:
        return Restarter(
            self._program(name),
            self._loop,
            policy,
            self._say,
            leftovers=(self._run_dir / leftover,),
            consequence=consequence,
            give_up=self._gateway_lost,
        )

    def _engine_restarter(self) -> EngineRestarter:
        callbacks = EngineCallbacks(
            say=self._say,
            catch_up=lambda: self._around.catch_up("engine"),
            lost=lambda failure, end: report.tell(self._around.log_writer, "ERROR", failure, "engine", end),
            strays=self._strays,
            give_up=self._engine_lost,
            cut=lambda since: self.cut_streams.tell_soon("the engine was lost", since),
            api_key=self._around.api_key,
        )
        policy = self._around.policies.engine
        return EngineRestarter(self._plan, self._loop, self._program("engine"), self.board, policy, callbacks)

    def _program(self, name: str) -> Program:
        return Program(name, self._loop, self._around.supervisor, self._say)

    def _start(self) -> None:
        self._loop.after(0, self._start_programs)

    def _start_programs(self) -> None:
        """Start nginx first: it answers the liveness probe."""
        if not self._ending:
            self.nginx.program.start()
            self.engine.start()
            self.middleware.program.start()

    def _strays(self) -> tuple[Process, ...]:
        return strays(os.getpid(), {self._around.supervisor_pid})

    # events from outside

    def on_nginx_record(self, record: Record) -> None:
        """Keep the last error lines of nginx for the report, should nginx be lost."""
        self.cut_streams.read_error(record.message)
        if severity(record.level) >= severity("ERROR"):
            self._nginx_log.append(record.message)

    def on_supervisor_record(self, record: Record) -> None:
        """Keep the last lines that are no routine: why it could start nothing, or has ended."""
        if severity(record.level) >= severity("INFO"):
            self._supervisor_log.append(record.message)

    def on_signal(self, number: int) -> None:
        """Start the shutdown on any stop signal. A repeated SIGINT shortens it."""
        if self._ending is None:
            self._say("INFO", f"stopping: {signal.Signals(number).name}")
            self.stopping_since = self._loop.now()
            self._ending = Task(self._loop, self._stop())
        elif number == signal.SIGINT:
            self._hurry += 1
            self._ending.wake()

    def on_children(self) -> None:
        """Reap ended children: supervisord, and orphans adopted by this process."""
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self._around.supervisor_pid:
                    self._supervisor_gone(ended[1])
        if self._ending:
            self._ending.wake()

    def _supervisor_gone(self, status: int) -> None:
        self._supervisor_lives = False
        if not self._ending:
            code = os.waitstatus_to_exitcode(status)
            end = Exit(code=code) if code >= 0 else Exit(signal=-code)
            self._around.catch_up("supervisord")
            failure = self._failure_of(SUPERVISOR_LOST, end, tuple(self._supervisor_log))
            self._fail(GatewayLost.exit_code, failure, "supervisord", end)

    # how the service ends

    def _engine_lost(self, failure: Failure, end: Exit) -> None:
        self._fail(EngineLost.exit_code, failure, "engine", end)

    def _gateway_lost(self, end: Exit) -> None:
        failure = self._failure_of(NGINX_LOST, end, (*self._supervisor_log, *self._nginx_log))
        self._fail(GatewayLost.exit_code, failure, "nginx", end)

    def _failure_of(self, kind: Kind, end: Exit, log: tuple[str, ...] = ()) -> Failure:
        return Failure(
            kind=kind.name,
            message=kind.message,
            hint=kind.hint.replace("RUN_DIR", str(self._run_dir)),
            log=log,
            exit_code=end.code,
            signal=end.signal,
        )

    def _fail(self, code: int, failure: Failure, what: str, end: Exit) -> None:
        if self._ending:
            return
        self.exit_code, self._failure = code, failure
        self.stopping_since = self._loop.now()
        self.board.failed(failure)
        report.tell(self._around.log_writer, "CRITICAL", failure, what, end)
        report.tell_kubernetes(self._around.log_writer.mask(report.shortened(failure, what, end)))
        self._ending = Task(self._loop, self._leave())

    def _streams_lost(self) -> str:
        """Return a clause with the number of open connections; workers without a master do not log them."""
        count = count_connections(self._plan.gateway.server_port)
        return f", and with it its streams ({count} connections were open; nobody can name them)"

    def _stop(self) -> Steps:
        """Shut down in order: not ready, settle, drain nginx, stop the engine, then everything else."""
        budget = ShutdownBudget.of(self._plan.shutdown_timeout_seconds, serving=self.board.state.ready)
        began, was_serving = self._loop.now(), self.engine.program.alive
        self._expect_exits()
        self.board.draining()
        yield from self._wait(lambda: False, budget.settle)
        yield from self._drain(began + budget.settle + budget.drain)
        if was_serving and not self.engine.program.alive:
            self.cut_streams.tell("the engine ended before them", began)
            self._unclean("the engine ended before its streams did")
        self.cut_streams.forget()
        self.middleware.program.stop()
        self.engine.program.stop()
        if not (yield from self._wait(lambda: not self._running(), budget.engine, patience=2)):
            self._unclean(f"{' and '.join(self._running())} did not end in time and will be killed")
        elif not (yield from self._wait(lambda: not self._strays(), budget.kill, patience=2)):
            names = ", ".join(f"{process.name} (pid {process.pid})" for process in self._strays())
            self._unclean(f"{names} outlived the engine and will be killed")
        yield from self._leave()

    def _drain(self, deadline: float) -> Steps:
        """Stop nginx gracefully: no new requests, running ones may finish until the deadline."""
        nginx = self.nginx.program
        cut_at = self._loop.now() + ShutdownBudget.of(self._plan.shutdown_timeout_seconds, serving=True).cut
        nginx.stop()
        if not (yield from self._wait(lambda: not nginx.alive, deadline - self._loop.now())):
            cut = count_connections(self._plan.gateway.server_port)
            self._unclean(f"connections cut because they did not end in time: {cut}; nginx cannot name them")
            nginx.signal(signal.SIGTERM)
            # vLLM can mark an answer it breaks off as complete, so nginx must be gone before vLLM stops.
            yield from until(self._loop, lambda: not nginx.alive, FAST_STOP_SECONDS)
            nginx.signal(signal.SIGKILL)
            yield from until(self._loop, lambda: not nginx.alive, FAST_STOP_SECONDS)
            return
        self._catch_up_with_nginx()
        if cut := self.cut_streams.tell("they did not end in time", cut_at):
            self._unclean(f"streams cut because they did not end in time: {cut}")

    def _catch_up_with_nginx(self) -> None:
        for log in ("nginx", "access"):
            self._around.catch_up(log)

    def _unclean(self, why: str) -> None:
        self._say("WARNING", why)
        self.exit_code = STOPPED_UNCLEANLY

    def _wait(
        self, true: Callable[[], bool], seconds: float, patience: int = 1
    ) -> Generator[float, None, bool]:
        """As `until`, but cut short once Ctrl-C has been pressed again `patience` times."""
        yield from until(self._loop, lambda: true() or self._hurry >= patience, max(seconds, 0))
        return (yield from until(self._loop, true, IMPATIENT_SECONDS if self._hurry >= patience else 0))

    def _running(self) -> list[str]:
        programs = (restarter.program for restarter in (self.nginx, self.engine, self.middleware))
        return [program.name for program in programs if program.alive]

    def _leave(self) -> Steps:
        """Kill what still runs, end supervisord, remove leftovers, write the verdict and stop the loop."""
        self._expect_exits()
        if self.engine.program.process:
            self.engine.program.process.send(signal.SIGKILL)
        if self.nginx.program.alive and (cut := count_connections(self._plan.gateway.server_port)):
            self._say("WARNING", f"connections cut: {cut}")
        for restarter in (self.nginx, self.middleware):
            restarter.program.signal(signal.SIGTERM)
        yield from until(self._loop, lambda: not self._running(), FAST_STOP_SECONDS)
        for restarter in (self.nginx, self.middleware):
            restarter.program.signal(signal.SIGKILL)
        yield from self._end_supervisor()
        yield from clear_strays(self._loop, self._strays)
        self.engine.clear_up()
        self._catch_up_with_nginx()
        self.cut_streams.tell("the service ended", self._loop.now() - CUTS_SECONDS)
        self.board.stopped()
        with suppress(OSError):
            text = report.verdict(self.exit_code, self._failure, time.time())
            write_file(self._run_dir / VERDICT_FILE, text)
        self._loop.stop()

    def _end_supervisor(self) -> Steps:
        if self._supervisor_lives:
            try:
                self._around.supervisor.shut_down()
            except SupervisorError:  # its socket may not exist yet
                os.kill(self._around.supervisor_pid, signal.SIGTERM)
            yield from until(self._loop, lambda: not self._supervisor_lives, SUPERVISOR_STOP_SECONDS)
        if self._supervisor_lives:
            os.kill(self._around.supervisor_pid, signal.SIGKILL)
            yield from until(self._loop, lambda: not self._supervisor_lives, SUPERVISOR_STOP_SECONDS)

    def _expect_exits(self) -> None:
        for restarter in (self.engine, self.nginx, self.middleware):
            restarter.expect_exit()
            restarter.program.on_exit = self._wake

    def _wake(self, _: Exit) -> None:
        if self._ending:
            self._ending.wake()
