"""The running service: the log pipes, the supervisor and the guard in one loop, and what is left of them."""

import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from nim.event_loop import HANDLED_SIGNALS, EventLoop
from nim.log_format import Form
from nim.logging.log_writer import LogWriter, known_secrets
from nim.logging.pipes import NAMES, Pipe, open_pipe, remove_pipes
from nim.logging.records import EngineLines, Record, read_middleware, read_nginx
from nim.plan import (
    DRAINING_FILE,
    ENGINE_PARTS_DIR,
    ENGINE_SOCKET,
    LOCK_FILE,
    MIDDLEWARE_SOCKET,
    PLAN_FILE,
    STALLED_FILE,
    STATUS_SOCKET,
    SUPERVISOR_SOCKET,
    Plan,
)
from nim.preflight.run_directory import SUPERVISORD_PID_FILE, remove_directory
from nim.supervision.controller import Controller, RestartPolicies, Surroundings
from nim.supervision.supervisor_client import Supervisor

STDERR = 2
# What a slow reader of stderr is granted at the end.
LAST_WORDS_SECONDS = 1.0
SOCKETS = (ENGINE_SOCKET, MIDDLEWARE_SOCKET, STATUS_SOCKET, SUPERVISOR_SOCKET)


class Service:
    """One service in one run directory, its supervisor started already."""

    def __init__(
        self, run_dir: Path, supervisor_pid: int, environ: Mapping[str, str], policies: RestartPolicies
    ) -> None:
        self.run_dir, self.loop = run_dir, EventLoop()
        self.plan = Plan.from_json((run_dir / PLAN_FILE).read_text(encoding="utf-8"))
        form = Form(as_json=self.plan.json_logs, level=self.plan.log_level)
        secrets = known_secrets(environ, self.plan.engine.argv)
        self.journal = LogWriter(form, STDERR, self.loop, secrets)
        self.supervisor = Supervisor(str(run_dir), lambda: self.pipes["supervisord"].catch_up())
        self.guard = Controller(
            Surroundings(
                plan=self.plan,
                loop=self.loop,
                supervisor=self.supervisor,
                supervisor_pid=supervisor_pid,
                journal=self.journal,
                catch_up=lambda name: self.pipes[name].catch_up(),
                api_key=environ.get("VLLM_API_KEY"),
                policies=policies,
            )
        )
        self._engine_lines = EngineLines()
        self.pipes = {name: self._pipe(name) for name in NAMES}

    def run(self) -> int:
        """Until the guard has ended everything; the exit code."""
        self.loop.on_signals(HANDLED_SIGNALS, self._signalled)
        self.guard.on_children()
        self.loop.run()
        for pipe in self.pipes.values():
            pipe.catch_up()
        code, seconds = self.guard.exit_code, self.loop.now() - self.guard.stopping_since
        self.journal.say("WARNING" if code else "INFO", f"stopped after {seconds:.1f} s, exit code {code}")
        self.journal.close(LAST_WORDS_SECONDS)
        return code

    def _signalled(self, number: int) -> None:
        if number == signal.SIGCHLD:
            self.guard.on_children()
        else:
            self.guard.on_signal(number)

    def _pipe(self, name: str) -> Pipe:
        readers: dict[str, Callable[[str], None]] = {
            "engine": self._engine_line,
            "nginx": self._nginx_line,
            "access": self._access_line,
            "middleware": lambda line: self.journal.record("middleware", read_middleware(line)),
            "supervisord": self._supervisor_line,
        }
        progress = self.guard.engine.progress if name == "engine" else lambda _: None
        pipe = Pipe(open_pipe(self.run_dir, name), readers[name], progress)
        self.loop.watch(pipe.fd, pipe.read)
        return pipe

    def _access_line(self, line: str) -> None:
        self.guard.cuts.read(self.journal.access(line))

    def _nginx_line(self, line: str) -> None:
        record = read_nginx(self.journal.mask(line))
        self.journal.record("nginx", record)
        self.guard.on_nginx_record(record)

    def _engine_line(self, line: str) -> None:
        """What the guard is told can be served with a failure, so it has no secrets in it either."""
        record = self._engine_lines.read(self.journal.mask(line))
        self.journal.record("engine", record)
        self.guard.engine.read(record)

    def _supervisor_line(self, line: str) -> None:
        level, message = self.supervisor.note(line)
        self.journal.record("supervisord", Record(level=level, message=message))


def clean(run_dir: Path) -> None:
    """Leave no socket, no pipe and no lock behind; the plan, the last state and the verdict stay."""
    remove_pipes(run_dir)
    remove_directory(run_dir / ENGINE_PARTS_DIR)
    for name in (*SOCKETS, DRAINING_FILE, STALLED_FILE, LOCK_FILE, "nginx.pid", SUPERVISORD_PID_FILE):
        with suppress(OSError):
            (run_dir / name).unlink(missing_ok=True)


def serve(run_dir: Path, supervisor_pid: int, policies: RestartPolicies) -> int:
    """Be PID 1 until the end. Whatever goes wrong in here, the supervisor does not outlive it."""
    try:
        code = Service(run_dir, supervisor_pid, os.environ, policies).run()
    except BaseException:
        with suppress(ProcessLookupError):
            os.kill(supervisor_pid, signal.SIGTERM)
        raise
    clean(run_dir)
    return code
