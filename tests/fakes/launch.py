"""Start a fake engine for a test, send requests to it, and remove it afterwards."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("engine.py")
# Generous: a busy machine is no finding, and a test that passes does not wait for it.
DEADLINE_SECONDS = 90.0


def wait_until(true: Callable[[], Any], what: str) -> Any:
    """Return the first value that counts as true; AssertionError when it takes too long."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (value := true()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.005)
    return value


class Client:
    """Speaks HTTP to the engine's own address, around any gateway; one connection a request."""

    def __init__(self, address: Path | int) -> None:
        self.address = address

    def connect(self) -> socket.socket:
        """Return a fresh connection; OSError where nobody listens."""
        if isinstance(self.address, int):
            return socket.create_connection(("127.0.0.1", self.address), timeout=DEADLINE_SECONDS)
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(DEADLINE_SECONDS)
        try:
            connection.connect(str(self.address))
        except OSError:
            connection.close()
            raise
        return connection

    def send(self, method: str, path: str, body: object = None) -> http.client.HTTPResponse:
        """Send a request; return the response after its head, with the body unread."""
        connection = http.client.HTTPConnection("engine")
        connection.sock = self.connect()
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        try:
            connection.request(
                method, path, data, {"Connection": "close", "Content-Type": "application/json"}
            )
            return connection.getresponse()
        except OSError:
            connection.close()
            raise

    def get(self, path: str) -> Any:
        """Return the JSON of a page."""
        return json.loads(self.send("GET", path).read())

    def post(self, path: str, **body: object) -> Any:
        """Return the JSON that answers this JSON."""
        return json.loads(self.send("POST", path, body).read())

    def order(self, **mood: object) -> Any:
        """Change the mood of the fake engine."""
        return self.post("/fake/control", **mood)

    def state(self) -> Any:
        """Return what goes on in there."""
        return self.get("/fake/state")


class Launched(Client):
    """A running fake engine and what it has printed."""

    def __init__(self, process: subprocess.Popen[bytes], address: Path | int, log_dir: Path) -> None:
        super().__init__(address)
        self.process, self.log_dir = process, log_dir
        self.orphans: list[int] = []

    def out(self) -> str:
        """Return its standard output so far."""
        return (self.log_dir / "out").read_text()

    def err(self) -> str:
        """Return its standard error so far."""
        return (self.log_dir / "err").read_text()

    def wait_ready(self) -> "Launched":
        """Wait until it answers."""
        wait_until(lambda: "Application startup complete." in self.err() or self.process.poll(), "readiness")
        assert self.process.poll() is None, self.err()
        self.orphans = self.state()["orphans"]
        return self

    def wait_exit(self) -> int:
        """Return its exit code."""
        return self.process.wait(DEADLINE_SECONDS)

    def terminate(self) -> int:
        """Send SIGTERM; return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait_exit()


@contextmanager
def launch(
    directory: Path, *flags: str, port: int | None = None, env: dict[str, str] | None = None, **mood: object
) -> Iterator[Launched]:
    """Start one with this mood, on `directory/engine.sock` or on a port; end it and all its children."""
    address = port or directory / "engine.sock"
    where = ("--host", "127.0.0.1", "--port", str(port)) if port else ("--uds", str(address))
    environ = {**os.environ, "FAKE_ENGINE": json.dumps(mood), **(env or {})}
    with (directory / "out").open("wb") as out, (directory / "err").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM), "serve", "demo", *where, *flags],
            stdout=out,
            stderr=err,
            env=environ,
            start_new_session=True,
        )
    launched = Launched(process, address, directory)
    try:
        yield launched
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pid in launched.orphans:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
