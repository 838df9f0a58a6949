"""A replica in a process of its own, which can be killed, frozen and told how to behave.

As a program (`python -m tests.proxy_soak.replica PORT FILE`) it is that process: it writes the id of each
request to FILE, and takes its mood from the lines of its standard input.
"""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.fakes.launch import wait_until
from tests.gateway.nginx import free_port
from tests.proxy.backend import Backend

MODEL = "org/a"


class Replica:
    """One replica. Its port stays the same over restarts."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._file = directory / f"requests-{self.port}"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.proxy_soak.replica", str(self.port), str(self._file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        assert self._process.stdout.readline() == "listening\n"

    def order(self, **mood: Any) -> None:
        """Set fields of its Mood."""
        assert self._process
        assert self._process.stdin
        self._process.stdin.write(json.dumps(mood) + "\n")
        self._process.stdin.flush()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to its process."""
        assert self._process
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once, if it runs."""
        if self._process:
            with self._process:
                self._process.kill()
            self._process = None

    def requests(self) -> list[str]:
        """Return the ids of all requests that it ever received."""
        return self._file.read_text(encoding="utf-8").split() if self._file.exists() else []


class Noting(Backend):
    """A backend that notes the ids of the requests that it answers before it answers them."""

    def __init__(self, port: int, file: Path) -> None:
        super().__init__(MODEL, port=port)
        self._notes = file.open("a", encoding="utf-8", buffering=1)

    async def _answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        self._notes.write(f"{request.headers.get('X-Request-Id')}\n")
        return await super()._answer(request, body)


def main(port: str, file: str) -> None:
    """Serve until standard input ends."""
    backend = Noting(int(port), Path(file)).start()
    wait_until(lambda: backend.port, "the port")
    print("listening", flush=True)
    for line in sys.stdin:
        for name, value in json.loads(line).items():
            setattr(backend.mood, name, value)
    backend.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
