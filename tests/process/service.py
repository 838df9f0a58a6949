"""A running service, with functions to inspect, signal and stop it."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

from nim.cleanup.read_and_watch_processes import Process, all_processes, below
from nim.plan import Plan
from nim.service_state import Phase, State
from tests.fakes.launch import Client, wait_until

BOOT = Path(__file__).with_name("boot.py")
EXIT_SECONDS = 40.0
# Who is who below PID 1, by command line; the first that fits is meant.
ROLES = {
    "supervisord": r"-m nim\.supervision\.supervisord",
    "nginx master": r"nginx: master.*/nginx\.conf",
    "nginx worker": r"nginx: worker",
    "middleware": r"nim\.middleware",
    "API server": r"fakes/engine\.py|nim\.supervision\.(run_vllm_cpu|engine_program)|vllm serve",
    "core": r"VLLM::EngineCore",
    "engine worker": r"VLLM::Worker",
}


class Service:
    """Started from a plan, in a session of its own as by a shell; its stderr is read unless `unread`."""

    def __init__(
        self,
        plan: Plan,
        directory: Path,
        *,
        fast_restarts: bool = False,
        unread: bool = False,
        stderr: int = subprocess.PIPE,
        within: tuple[str, ...] = (),
        boot: Path = BOOT,
        **env: str,
    ) -> None:
        self.plan, self.run_dir = plan, Path(plan.run_dir)
        self.engine = Client(self.run_dir / "engine.sock")
        self.lines: list[str] = []
        file = directory / "plan.json"
        file.write_text(plan.to_json(), encoding="utf-8")
        self.process = subprocess.Popen(
            [*within, sys.executable, str(boot), str(file), *(["fast_restarts"] if fast_restarts else [])],
            stderr=stderr,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **env},
            text=True,
            start_new_session=True,
        )
        self.stderr: IO[str] = self.process.stderr or Path(os.devnull).open()  # noqa: SIM115
        self._reader = threading.Thread(target=self.read_all, daemon=True)
        if not unread:
            self._reader.start()

    def read_all(self) -> None:
        """Read stderr to its end."""
        for line in self.stderr:
            self.lines.append(line.rstrip("\n"))

    @property
    def text(self) -> str:
        """Return what it has said so far."""
        return "\n".join(self.lines)

    # asking

    def get(self, path: str, port: int | None = None) -> tuple[int, bytes]:
        """Return status and body; 0 when nobody answers."""
        port = port or self.plan.gateway.server_port
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            link.request("GET", path)
            answer = link.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            link.close()

    def live(self) -> bool:
        return self.get("/v1/health/live")[0] == 200

    def ready(self) -> bool:
        return self.get("/v1/health/ready")[0] == 200

    def state(self) -> State:
        return State.from_json((self.run_dir / "state.json").read_text(encoding="utf-8"))

    def verdict(self) -> Any:
        return json.loads((self.run_dir / "verdict.json").read_text(encoding="utf-8"))

    # its processes

    def processes(self) -> tuple[Process, ...]:
        """Return everything below PID 1 of the service."""
        return below(self.process.pid, all_processes())

    def find(self, pattern: str) -> list[int]:
        """Return the pids of its processes whose command line has this."""
        return [p.pid for p in self.processes() if p.state != "Z" and re.search(pattern, command_line(p.pid))]

    def find_one(self, pattern: str) -> int:
        (pid,) = self.find(pattern)
        return pid

    @property
    def supervisor(self) -> int:
        return self.find_one(ROLES["supervisord"])

    @property
    def nginx(self) -> int:
        return self.find_one(ROLES["nginx master"])

    @property
    def api_server(self) -> int:
        return self.find_one(ROLES["API server"])

    @property
    def core(self) -> int:
        return self.find_one(ROLES["core"])

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)

    # waiting

    def wait_live(self) -> "Service":
        wait_until(lambda: self.live() or self.process.poll() is not None, "live")
        assert self.process.poll() is None, self.text
        return self

    def wait_ready(self) -> "Service":
        wait_until(lambda: self.ready() or self.process.poll() is not None, "ready")
        assert self.process.poll() is None, self.text
        wait_until(lambda: self.state().phase is Phase.READY, "the state")
        return self

    def wait_restarts(self, count: int) -> None:
        """Wait until the engine has been lost this often."""
        wait_until(lambda: sum(n for _, n in self.state().restarts) == count, f"{count} restarts")

    def wait_said(self, text: str) -> str:
        """Wait for a log line with this text; return the line."""
        return str(wait_until(lambda: next((line for line in self.lines if text in line), ""), text))

    # ending

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = EXIT_SECONDS) -> int:
        """Return its exit code, when all it had to say has been read."""
        code = self.process.wait(seconds)
        if self._reader.is_alive() or self.lines:
            self._reader.join(5)
        return code

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Return the exit code after a signal."""
        self.send(number)
        return self.wait()

    def assert_nothing_left(self) -> None:
        """Assert that no socket, pipe or lock is left, and no listener on the port."""
        left = [path.name for path in self.run_dir.rglob("*") if not path.is_dir() and not path.is_file()]
        assert not left
        assert not (self.run_dir / "lock").exists()
        assert self.get("/v1/health/live")[0] == 0


def command_line(pid: int) -> str:
    """Return a process's command line as ps shows it."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
