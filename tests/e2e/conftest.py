"""One start of the real engine for the whole suite, as a user starts it: `entrypoint.sh`."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 300
STOP_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Service:
    """The running service. `root` is its address without a path."""

    port: int
    health_port: int
    run_dir: Path
    log: Path
    process: subprocess.Popen[bytes]
    scheme: str = "http"

    @property
    def root(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def get(self, path: str) -> tuple[int, bytes]:
        """Return status and body of one GET."""
        try:
            with urllib.request.urlopen(self.root + path, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def json(self, path: str) -> Any:
        """Return the body of a GET that answers 200."""
        status, body = self.get(path)
        assert status == 200, (status, body)
        return json.loads(body)


def free_ports(count: int) -> list[int]:
    """Return free ports, all different."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the first test more time, because it waits for the service to start."""
    for item in items:
        if item.path.parent == Path(__file__).parent and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(2 * READY_SECONDS))


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("e2e")) as running:
        yield running


def begin(directory: Path, **settings: str) -> Service:
    """Return a service of its own, of which nothing is awaited."""
    port, health_port = free_ports(2)
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("NIM_", "VLLM_"))},
        "NIM_SERVER_PORT": str(port),
        "NIM_HEALTH_PORT": str(health_port),
        "NIM_RUN_DIR": str(directory / "run"),
        "NIM_CACHE_PATH": str(directory / "cache"),
        "VLLM_ENABLE_RESPONSES_API_STORE": "1",
        **settings,
    }
    log = directory / "log"
    with log.open("wb") as out:
        process = subprocess.Popen([str(ROOT / "entrypoint.sh")], env=env, stdout=out, stderr=out)
    return Service(
        port=port,
        health_port=health_port,
        run_dir=directory / "run",
        log=log,
        process=process,
        scheme="https" if "NIM_SSL_MODE" in settings else "http",
    )


@contextmanager
def serving(directory: Path, **settings: str) -> Iterator[Service]:
    """Yield a service of its own, ready; at the end it must stop cleanly."""
    running = begin(directory, **settings)
    try:
        _wait_until_ready(running)
        yield running
    finally:
        running.process.send_signal(signal.SIGINT)
        code = running.process.wait(STOP_SECONDS)
    assert code == 0, running.log.read_text()[-4000:]


def _wait_until_ready(running: Service) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if running.process.poll() is not None:
            pytest.fail(
                f"the service ended with {running.process.returncode}:\n{running.log.read_text()[-6000:]}"
            )
        try:
            # The engine itself answers ready; startup follows when PID 1 has noticed.
            if all(running.get(f"/v1/health/{name}")[0] == 200 for name in ("ready", "startup")):
                return
        except OSError:
            pass
        time.sleep(0.2)
    pytest.fail(f"not ready in {READY_SECONDS} s:\n{running.log.read_text()[-6000:]}")
