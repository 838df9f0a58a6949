"""The running service: log pipes, supervisord and the controller on one event loop, and its cleanup."""

import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from nim.event_loop import HANDLED_SIGNALS, EventLoop
from nim.log_format import Form
from nim.logging.log_line_parsers import (
    EngineLines,
    Record,
    is_routine,
    is_timeout_of_client,
    read_access,
    read_middleware,
    read_nginx,
)
from nim.logging.log_pipes import NAMES, Pipe, open_pipe, remove_pipes
from nim.logging.log_writer import LogWriter
from nim.logging.repeated_records import RepeatedRecords
from nim.plan import (
    ADAPTERS_DIR,
    ADAPTERS_FILE,
    ASSETS_DIR,
    DRAINING_FILE,
    ENGINE_PARTS_DIR,
    ENGINE_SOCKET,
    LOCK_FILE,
    MIDDLEWARE_SOCKET,
    PLAN_FILE,
    SERVING_FILE,
    STALLED_FILE,
    STATUS_SOCKET,
    SUPERVISOR_SOCKET,
    Plan,
)
from nim.preflight.run_directory import SUPERVISORD_PID_FILE, remove_directory, remove_tree
from nim.redact import known_secrets
from nim.supervision.controller import Controller
from nim.supervision.controller_context import ControllerContext
from nim.supervision.nginx_reload_on_file_change import GatewayReload
from nim.supervision.restart_policy import RestartPolicies
from nim.supervision.supervisord.rpc_client import Supervisor

STDERR = 2
# How long a slow reader of stderr may take at the end.
LAST_LOG_LINES_SECONDS = 1.0
SOCKETS = (ENGINE_SOCKET, MIDDLEWARE_SOCKET, STATUS_SOCKET, SUPERVISOR_SOCKET)


class Service:
    """One service in one run directory, with supervisord already running."""

    def __init__(
        self, run_dir: Path, supervisor_pid: int, environ: Mapping[str, str], policies: RestartPolicies
    ) -> None:
        self.run_dir, self.loop = run_dir, EventLoop()
        self.plan = Plan.from_json((run_dir / PLAN_FILE).read_text(encoding="utf-8"))
        form = Form(as_json=self.plan.json_logs, level=self.plan.log_level)
        secrets = known_secrets(environ, self.plan.engine.argv)
        self.log_writer = LogWriter(form, STDERR, self.loop, secrets)
        self.supervisor = Supervisor(str(run_dir), lambda: self.pipes["supervisord"].catch_up())
        self.controller = Controller(
            ControllerContext(
                plan=self.plan,
                loop=self.loop,
                supervisor=self.supervisor,
                supervisor_pid=supervisor_pid,
                log_writer=self.log_writer,
                catch_up=lambda name: self.pipes[name].catch_up(),
                api_key=environ.get("VLLM_API_KEY"),
                policies=policies,
            )
        )
        self._gateway_reload = GatewayReload(
            self.plan,
            self.loop,
            self.controller.nginx_programs,
            self.controller.status,
            self.log_writer.say,
            environ,
        )
        self._engine_label = "router" if self.plan.proxy else "engine"
        self._engine_lines = EngineLines()
        self._nginx_records = RepeatedRecords(self.loop, partial(self.log_writer.record, "nginx"))
        self._timeouts = RepeatedRecords(
            self.loop, self.log_writer.access, partial(self.log_writer.record, "gateway")
        )
        self.pipes = {name: self._pipe(name) for name in NAMES}

    def run(self) -> int:
        """Run the event loop until the controller has stopped everything; return the exit code."""
        self.loop.on_signals(HANDLED_SIGNALS, self._signalled)
        self.controller.on_children()
        self._gateway_reload.start()
        self.loop.run()
        for pipe in self.pipes.values():
            pipe.catch_up()
        self._nginx_records.flush()
        self._timeouts.flush()
        code, seconds = self.controller.exit_code, self.loop.now() - self.controller.stopping_since
        self.log_writer.say("WARNING" if code else "INFO", f"stopped after {seconds:.1f} s, exit code {code}")
        self.log_writer.close(LAST_LOG_LINES_SECONDS)
        return code

    def _signalled(self, number: int) -> None:
        """Handle a signal: reap children on SIGCHLD, start the shutdown on any other."""
        if number == signal.SIGCHLD:
            self.controller.on_children()
        else:
            self.controller.on_signal(number)

    def _pipe(self, name: str) -> Pipe:
        """Open the log pipe of a program, watch it in the event loop, and return the Pipe."""
        readers: dict[str, Callable[[str], None]] = {
            "engine": self._engine_line,
            "nginx": self._nginx_line,
            "access": self._access_line,
            "middleware": lambda line: self.log_writer.record("middleware", read_middleware(line)),
            "supervisord": self._supervisor_line,
        }
        progress = self.controller.engine.progress if name == "engine" else lambda _: None
        pipe = Pipe(open_pipe(self.run_dir, name), readers[name], progress)
        self.loop.watch(pipe.fd, pipe.read)
        return pipe

    def _access_line(self, line: str) -> None:
        """Write a line of nginx's access log to stderr, and pass it to the report of cut streams.

        Of requests that did not arrive in time, which any client can have logged, many are only counted.
        """
        record = read_access(self.log_writer.mask_access(line))
        self.controller.cut_streams.read(record.message)
        write = self._timeouts.record if is_timeout_of_client(line) else self.log_writer.access
        write(record)

    def _nginx_line(self, line: str) -> None:
        """Mask and parse a line of nginx's error log, write it to stderr and pass it to the controller."""
        record = read_nginx(self.log_writer.mask(line))
        self._nginx_records.record(record)
        self.controller.on_gateway_record(record, "ERROR")

    def _engine_line(self, line: str) -> None:
        """Mask and parse a line of the engine, write it to stderr and pass it to the engine's restarter."""
        record = self._engine_lines.read(self.log_writer.mask(line))
        self.log_writer.record(self._engine_label, self._quieter(record))
        self.controller.engine.read(record)

    def _quieter(self, record: Record) -> Record:
        """Return the Record, at DEBUG if it is a routine line of the engine's start in text format."""
        if self.plan.json_logs or not self.controller.engine.starting or not is_routine(record):
            return record
        return replace(record, level="DEBUG")

    def _supervisor_line(self, line: str) -> None:
        """Parse and mask a line of supervisord's log, write it to stderr and pass it to the controller."""
        level, message = self.supervisor.note(line)
        record = Record(level=level, message=self.log_writer.mask(message))
        self.log_writer.record("supervisord", record)
        self.controller.on_gateway_record(record, "INFO")


def clean(run_dir: Path) -> None:
    """Remove sockets, pipes and the lock of a run directory; plan, last state and verdict stay."""
    remove_pipes(run_dir)
    remove_directory(run_dir / ENGINE_PARTS_DIR)
    for name in (ADAPTERS_DIR, ASSETS_DIR):
        remove_tree(run_dir / name)
    for name in (
        *SOCKETS,
        DRAINING_FILE,
        STALLED_FILE,
        SERVING_FILE,
        ADAPTERS_FILE,
        LOCK_FILE,
        "nginx.pid",
        "health.pid",
        SUPERVISORD_PID_FILE,
    ):
        with suppress(OSError):
            (run_dir / name).unlink(missing_ok=True)


def serve(run_dir: Path, supervisor_pid: int, policies: RestartPolicies) -> int:
    """Run the service as PID 1 until it stops; return the exit code. Stops supervisord if this raises."""
    try:
        code = Service(run_dir, supervisor_pid, os.environ, policies).run()
    except BaseException:
        with suppress(ProcessLookupError):
            os.kill(supervisor_pid, signal.SIGTERM)
        raise
    clean(run_dir)
    return code
