"""Start and restart the programs, shut the service down and set its exit code, in PID 1."""

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path

from nim.cleanup.read_and_watch_processes import Process, strays
from nim.errors import STOPPED_UNCLEANLY, GatewayLost
from nim.event_loop import Steps, Task, until
from nim.failures import report
from nim.failures.classify import failure_of_class
from nim.failures.failure_classes import NGINX_LOST, SUPERVISOR_LOST, FailureClass, exit_code_of
from nim.failures.find_cut_streams import CutStreams
from nim.failures.program_exit import ProgramExit
from nim.health.write_status_files import StatusPublisher, write_file
from nim.log_format import severity
from nim.logging.log_line_parsers import Record
from nim.plan import AGENT_SOCKET, MIDDLEWARE_SOCKET, STATUS_SOCKET, VERDICT_FILE
from nim.preflight.proc_net_sockets import count_connections
from nim.service_state import Failure
from nim.supervision.controller_context import ControllerContext
from nim.supervision.engine_restarter import EngineCallbacks, EngineRestarter
from nim.supervision.read_ahead_program import ReadAheadProgram
from nim.supervision.restart_policy import RestartPolicy
from nim.supervision.shutdown_budget import ShutdownBudget
from nim.supervision.supervisord.end_supervisord import end_supervisord
from nim.supervision.supervisord.program_restarter import Restarter, clear_strays
from nim.supervision.supervisord.supervised_program import Program

LAST_LINES = 10
FAST_STOP_SECONDS = 1.0
# How long each stage of a shutdown still gets after Ctrl-C is pressed again.
HURRIED_STOP_SECONDS = 0.3
# Streams that ended within this time before the service did are reported as cut by its end.
CUT_STREAM_WINDOW_SECONDS = 3.0


class Controller:
    """Controls one service from its start until `exit_code` is set and the loop has stopped."""

    def __init__(self, context: ControllerContext) -> None:
        self._context, self._loop, self._plan = context, context.loop, context.plan
        self._say = context.log_writer.say
        self._run_dir = Path(context.plan.run_dir)
        self.exit_code = 0
        self._failure: Failure | None = None
        self._supervisor_lives, self._interrupts = True, 0
        self._gateway_log: deque[str] = deque(maxlen=LAST_LINES)
        self._ending: Task | None = None
        self.status = StatusPublisher(self._run_dir, judged=context.plan.stall_timeout_seconds > 0)
        self.cut_streams = CutStreams(self._loop, self._say)
        self.stopping_since = self._loop.now()
        self._policies = policies = context.policies
        self.engine = self._engine_restarter()
        self.nginx = self._restarter("nginx", policies.nginx, STATUS_SOCKET, consequence=self._streams_lost)
        places = {} if self._plan.proxy else {"middleware": MIDDLEWARE_SOCKET}
        places |= {"agent": AGENT_SOCKET} if self._plan.agent else {}
        self.helpers = [self._restarter(name, policies.middleware, left) for name, left in places.items()]
        self.nginx_programs = [self.nginx.program]
        if self._plan.adapters and self._plan.adapters.is_refreshed:
            self.helpers.append(self._restarter("adapters", policies.middleware))
        if self._plan.gateway.health_port:  # its nginx serves until the end
            self.helpers.append(self._restarter("health", policies.nginx, "health.pid"))
            self.nginx_programs.append(self.helpers[-1].program)
        self._restarters: list[EngineRestarter | Restarter] = [self.nginx, self.engine, *self.helpers]
        context.supervisor.on_up = self._start

    def _restarter(
        self, name: str, policy: RestartPolicy, *leftovers: str, consequence: Callable[[], str] = str
    ) -> Restarter:
        return Restarter(
            Program(name, self._loop, self._context.supervisor, self._say),
            self._loop,
            policy,
            self._say,
            leftovers=tuple(self._run_dir / leftover for leftover in leftovers),
            consequence=consequence,
            give_up=self._gateway_lost,
        )

    def _engine_restarter(self) -> EngineRestarter:
        callbacks = EngineCallbacks(
            say=self._say,
            catch_up=lambda: self._context.catch_up("engine"),
            lost=self._log_restart,
            strays=self._strays,
            give_up=self._engine_lost,
            cut=lambda since: self.cut_streams.log_cut_streams_soon("the engine was lost", since),
            api_key=self._context.api_key,
        )
        # The requests that a proxy forwards go on while its router restarts: it has no reason to give up.
        policy = self._policies.middleware if self._plan.proxy else self._policies.engine
        program = Program("engine", self._loop, self._context.supervisor, self._say)
        reader = Program("read_ahead", self._loop, self._context.supervisor, self._say)
        read_ahead = ReadAheadProgram(self._plan.read_ahead, self._run_dir, self._loop, reader, self._say)
        return EngineRestarter(self._plan, self._loop, program, self.status, policy, callbacks, read_ahead)

    def _log_restart(self, failure: Failure, end: ProgramExit) -> None:
        """Log at ERROR how the engine was lost and what it logged last; restarts nothing itself."""
        report.log_failure(self._context.log_writer, "ERROR", failure, "engine", end)

    def _start(self) -> None:
        self._loop.after(0, self._start_programs)

    def _start_programs(self) -> None:
        """Start nginx, the engine and the middleware, in this order, unless the service is stopping."""
        if not self._ending:
            self.nginx.program.start()
            self.engine.start()
            for helper in self.helpers:
                helper.program.start()

    def _strays(self) -> tuple[Process, ...]:
        """Return a tuple of the Processes adopted by this one because their parent ended, no zombies."""
        return strays(os.getpid(), {self._context.supervisor_pid})

    def on_gateway_record(self, record: Record, least: str) -> None:
        """Pass a record of nginx or supervisord to the cut-stream report; keep it from level `least` on."""
        self.cut_streams.read_error(record.message)
        if severity(record.level) >= severity(least):
            self._gateway_log.append(record.message)

    def on_signal(self, number: int) -> None:
        """Start the shutdown at the first stop signal; each further SIGINT shortens it, others do nothing."""
        if self._ending is None:
            self._say("INFO", f"stopping: {signal.Signals(number).name}")
            self.stopping_since = self._loop.now()
            self._ending = Task(self._loop, self._stop())
        elif number == signal.SIGINT:
            self._interrupts += 1
            self._ending.wake()

    def on_children(self) -> None:
        """Reap all ended children without blocking; if supervisord is one of them, end the service."""
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self._context.supervisor_pid:
                    self._supervisor_gone(ended[1])
        if self._ending:
            self._ending.wake()

    def _supervisor_gone(self, status: int) -> None:
        """End the service with the exit code of GatewayLost because supervisord has ended."""
        self._supervisor_lives = False
        if not self._ending:
            code = os.waitstatus_to_exitcode(status)
            end = ProgramExit(code=code) if code >= 0 else ProgramExit(signal=-code)
            self._context.catch_up("supervisord")
            self._fail(GatewayLost.exit_code, self._failure_of(SUPERVISOR_LOST, end), "supervisord", end)

    def _engine_lost(self, failure: Failure, end: ProgramExit) -> None:
        self._fail(exit_code_of(failure.kind), failure, "engine", end)

    def _gateway_lost(self, end: ProgramExit) -> None:
        self._fail(GatewayLost.exit_code, self._failure_of(NGINX_LOST, end), "nginx", end)

    def _failure_of(self, kind: FailureClass, end: ProgramExit) -> Failure:
        return failure_of_class(kind, end, tuple(self._gateway_log), self._run_dir)

    def _fail(self, code: int, failure: Failure, what: str, end: ProgramExit) -> None:
        """Publish and log the failure, write the termination log, and end the service with this exit code."""
        if self._ending:
            return
        self.exit_code, self._failure = code, failure
        self.stopping_since = self._loop.now()
        self.status.failed(failure)
        report.log_failure(self._context.log_writer, "CRITICAL", failure, what, end)
        text = report.failure_text_for_kubernetes(failure, what, end)
        report.write_termination_log(self._context.log_writer.mask(text))
        self._ending = Task(self._loop, self._end_service())

    def _streams_lost(self) -> str:
        """Return a clause for the log with the number of open client connections, lost with nginx."""
        count = count_connections(self._plan.gateway.server_port)
        return f", and with it its streams ({count} connections were open and cannot be identified)"

    def _stop(self) -> Steps:
        """Shut down in steps (a generator): not ready, settle, drain nginx, stop the engine, the rest."""
        budget = ShutdownBudget.of(self._plan.shutdown_timeout_seconds, serving=self.status.state.ready)
        began, was_serving = self._loop.now(), self.engine.program.alive
        self._expect_exits()
        self.status.draining()
        yield from self._wait(lambda: False, budget.settle)
        killed = yield from self._drain(began + budget.settle + budget.drain)
        if was_serving and not killed and not self.engine.program.alive:
            self.cut_streams.log_cut_streams("the engine ended before them", began)
            self._unclean("the engine ended before its streams did")
        self.cut_streams.forget()
        for helper in self.helpers:
            helper.program.stop()
        self.engine.program.stop()
        if not (yield from self._wait(lambda: not self._running(), budget.engine, interrupts=2)):
            self._unclean(f"{' and '.join(self._running())} did not end in time and will be killed")
        elif not (yield from self._wait(lambda: not self._strays(), budget.kill, interrupts=2)):
            names = ", ".join(f"{process.name} (pid {process.pid})" for process in self._strays())
            self._unclean(f"{names} outlived the engine and will be killed")
        yield from self._end_service()

    def _drain(self, deadline: float) -> Generator[float, None, bool]:
        """Stop nginx gracefully (a generator) until `deadline`; return whether the engine was killed for it.

        nginx ends what still runs and logs it, except if its workers may outlive a reload: then it does so
        once the engine is gone. Killed, since vLLM can mark an answer it breaks off as complete.
        """
        nginx, engine = self.nginx.program, self.engine.program
        cut_at = self._loop.now() + ShutdownBudget.of(self._plan.shutdown_timeout_seconds, serving=True).cut
        nginx.stop()
        killed = False
        if self._plan.gateway.rereads_files and not self._plan.proxy and engine.alive:
            yield from self._wait(lambda: not nginx.alive, cut_at - self._loop.now())
            if killed := nginx.alive:
                engine.signal(signal.SIGKILL)
        if not (yield from self._wait(lambda: not nginx.alive, deadline - self._loop.now())):
            cut = count_connections(self._plan.gateway.server_port)
            self._unclean(f"connections cut because they did not end in time: {cut}; nginx cannot name them")
            nginx.signal(signal.SIGTERM)
            yield from until(self._loop, lambda: not nginx.alive, FAST_STOP_SECONDS)
            nginx.signal(signal.SIGKILL)
            yield from until(self._loop, lambda: not nginx.alive, FAST_STOP_SECONDS)
            return killed
        nginx.signal(signal.SIGKILL)  # workers outlive a master that was killed
        self._catch_up_with_nginx()
        if cut := self.cut_streams.log_cut_streams("they did not end in time", cut_at):
            self._unclean(f"streams cut because they did not end in time: {cut}")
        return killed

    def _catch_up_with_nginx(self) -> None:
        for log in ("nginx", "access"):
            self._context.catch_up(log)

    def _unclean(self, why: str) -> None:
        """Log a warning and set the exit code of an unclean shutdown."""
        self._say("WARNING", why)
        self.exit_code = STOPPED_UNCLEANLY

    def _wait(
        self, true: Callable[[], bool], seconds: float, interrupts: int = 1
    ) -> Generator[float, None, bool]:
        """Wait up to `seconds` until `true()` holds, return whether it does; further Ctrl-C cut it short."""
        yield from until(self._loop, lambda: true() or self._interrupts >= interrupts, max(seconds, 0))
        return (
            yield from until(self._loop, true, HURRIED_STOP_SECONDS if self._interrupts >= interrupts else 0)
        )

    def _running(self) -> list[str]:
        """Return the list of names of those of nginx, engine, middleware and health that run."""
        return [restarter.program.name for restarter in self._restarters if restarter.program.alive]

    def _end_service(self) -> Steps:
        """Kill what still runs, end supervisord, write verdict.json and stop the loop (a generator)."""
        self._expect_exits()
        if self.engine.program.process:
            self.engine.program.process.send(signal.SIGKILL)
        if self.nginx.program.alive and (cut := count_connections(self._plan.gateway.server_port)):
            self._say("WARNING", f"connections cut: {cut}")
        for number in (signal.SIGTERM, signal.SIGKILL):
            for restarter in (self.nginx, *self.helpers):
                restarter.program.signal(number)
            yield from until(self._loop, lambda: not self._running(), FAST_STOP_SECONDS)
        yield from end_supervisord(
            self._loop, self._context.supervisor, self._context.supervisor_pid, lambda: self._supervisor_lives
        )
        yield from clear_strays(self._loop, self._strays)
        self.engine.clear_up()
        self._catch_up_with_nginx()
        self.cut_streams.log_cut_streams("the service ended", self._loop.now() - CUT_STREAM_WINDOW_SECONDS)
        self.status.stopped()
        with suppress(OSError):
            text = report.verdict_json(self.exit_code, self._failure, time.time())
            write_file(self._run_dir / VERDICT_FILE, text)
        self._loop.stop()

    def _expect_exits(self) -> None:
        for restarter in self._restarters:
            restarter.expect_exit()
            restarter.program.on_exit = self._wake

    def _wake(self, _: ProgramExit) -> None:
        if self._ending:
            self._ending.wake()
