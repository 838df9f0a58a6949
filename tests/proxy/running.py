"""A proxy that runs: the real launcher, supervisord, nginx and router."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fakes.launch import wait_until
from tests.gateway.nginx import free_port

HEADERS = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One whole answer. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        assert self.headers["content-type"].startswith("application/json"), (self.headers, self.body)
        return json.loads(self.body)


class Proxy:
    """Started with a file of backends, whose text a test may replace."""

    def __init__(self, directory: Path, backends: str | None, **env: str) -> None:
        self.port, self.run_dir = free_port(), directory / "run"
        self.file = directory / "backends.yaml"
        arguments = []
        if backends is not None:
            self.file.write_text(backends, encoding="utf-8")
            arguments = [str(self.file)]
        self.env = {
            **os.environ,
            "NIM_SERVER_PORT": str(self.port),
            "NIM_HEALTH_PORT": str(self.port),
            "NIM_RUN_DIR": str(self.run_dir),
            "NIM_SHUTDOWN_TIMEOUT": "4",
            **env,
        }
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nim", "proxy", *arguments],
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env=self.env,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def write(self, backends: str) -> None:
        """Replace the file of backends in one step."""
        new = self.file.with_suffix(".new")
        new.write_text(backends, encoding="utf-8")
        new.replace(self.file)

    def connect(self, timeout: float = 60) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return the answer to one request on a connection of its own."""
        link = self.connect()
        try:
            link.request(
                method, target, body, dict(HEADERS if body is not None and headers is None else headers or {})
            )
            answer = link.getresponse()
            return Answer(
                status=answer.status,
                headers={name.lower(): value for name, value in answer.getheaders()},
                body=answer.read(),
            )
        finally:
            link.close()

    def get(self, target: str, **headers: str) -> Answer:
        return self.ask("GET", target, headers=headers)

    def post(self, target: str, body: object, headers: Mapping[str, str] | None = None) -> Answer:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask("POST", target, data, {**HEADERS, **(headers or {})})

    def chat(self, model: object, **more: Any) -> Answer:
        messages = [{"role": "user", "content": "Hello! How are you?"}]
        return self.post("/v1/chat/completions", {"model": model, "messages": messages, **more})

    def status(self) -> Any:
        """Return what `nim proxy status --json` prints."""
        done = subprocess.run(
            [sys.executable, "-m", "nim", "proxy", "status", "--json"],
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, 1), done.stderr
        return json.loads(done.stdout)

    def models(self) -> list[str]:
        return [card["id"] for card in self.get("/v1/models").json["data"]]

    def is_up(self) -> bool:
        assert self.process.poll() is None, self.text
        try:
            return "ready: " in self.text and self.get("/v1/health/live").status == 200
        except OSError:
            return False

    def wait_up(self) -> "Proxy":
        """Wait until nginx and the router answer."""
        wait_until(self.is_up, "the proxy")
        return self

    def wait_ready(self, count: int = 1) -> "Proxy":
        """Wait until so many replicas are ready."""
        self.wait_up()
        wait_until(lambda: self.ready_count() >= count, f"{count} ready replicas")
        return self

    def ready_count(self) -> int:
        return sum(one["ready"] for backend in self.backends() for one in backend["replicas"])

    def backends(self) -> Any:
        return self.get("/v1/health/ready").json["backends"]

    def wait_said(self, text: str) -> str:
        return str(wait_until(lambda: next((line for line in self.lines if text in line), ""), text))

    def pid_of(self, *words: str) -> int:
        """Return the pid of the one process of this proxy whose command line has these words."""
        found = [
            int(path.name)
            for path in Path("/proc").iterdir()
            if path.name.isdigit() and self._is(path, words)
        ]
        assert len(found) == 1, found
        return found[0]

    def _is(self, path: Path, words: tuple[str, ...]) -> bool:
        try:
            line = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return False
        return str(self.run_dir) in line and all(word in line for word in words)

    def stop(self) -> int:
        """Return the exit code after SIGTERM."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(40)
        self._reader.join(5)
        if self.process.stderr:
            self.process.stderr.close()
        return code
