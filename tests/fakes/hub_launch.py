"""Start a fake hub for a test on its own port, and remove it afterwards."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from json import dumps
from pathlib import Path
from typing import Any

from tests.fakes.launch import wait_until

PROGRAM = Path(__file__).with_name("hub.py")
ENDED_SECONDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningHub:
    """`url` is for HF_ENDPOINT; `log` has a line for each request."""

    url: str
    log: Path

    def asked(self) -> list[str]:
        """Return all requests so far."""
        return self.log.read_text().splitlines()


@contextmanager
def running_hub(directory: Path, repositories: Mapping[str, Mapping[str, Any]]) -> Iterator[RunningHub]:
    """Yield a hub with these repositories (name → directory) and this mood."""
    directory.mkdir(parents=True, exist_ok=True)
    port, log = directory / "port", directory / "log"
    command = [sys.executable, str(PROGRAM), str(port), dumps(repositories, default=str)]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        wait_until(lambda: port.exists() or process.poll() is not None, "the hub")
        assert process.poll() is None, log.read_text()
        yield RunningHub(url=f"http://127.0.0.1:{port.read_text()}", log=log)
    finally:
        process.kill()
        process.wait(ENDED_SECONDS)
