"""Start the service, or the bare engine, and observe it. Times are seconds since the process started."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STOP_SECONDS = 60
LOG_BYTES = 8000


@dataclass(frozen=True, kw_only=True)
class Running:
    """A started process. `address` is a port on loopback or the path of a unix socket."""

    process: subprocess.Popen[bytes]
    started_at: float
    address: int | str
    run_dir: Path

    def seconds(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self.started_at

    def wait_for(self, path: str, *, limit: float = 300, poll_seconds: float = 0.002) -> float:
        """Return seconds until `path` first answers 200, asked at this interval.

        An engine's start takes longer if it is asked often: each question costs a core 1 ms, here and in nginx.
        """
        while self.seconds() < limit:
            if status(self.address, path) == 200:
                return self.seconds()
            if self.process.poll() is not None:
                raise RuntimeError(f"it ended with {self.process.returncode}")
            time.sleep(poll_seconds)
        raise TimeoutError(f"{path} did not answer 200 in {limit} s")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=5)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(5)
        self.sock.connect(self.path)


def status(address: int | str, path: str) -> int | None:
    """Return the status of one GET, or None while nobody answers."""
    connection = (
        _UnixConnection(address)
        if isinstance(address, str)
        else http.client.HTTPConnection("127.0.0.1", address, timeout=5)
    )
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def service(env: Mapping[str, str]) -> Iterator[Running]:
    """Yield the service as a user starts it, on a port and a run directory of its own; stopped at the end."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="nimb-") as directory:
        run_dir = Path(directory) / "run"
        own = {"NIM_SERVER_PORT": str(port), "NIM_RUN_DIR": str(run_dir)}
        with _started([str(ROOT / "entrypoint.sh")], {**os.environ, **own, **env}) as (process, started_at):
            yield Running(process=process, started_at=started_at, address=port, run_dir=run_dir)


@contextmanager
def bare_engine(argv: Sequence[str], env: Mapping[str, str], uds: str) -> Iterator[Running]:
    """Yield the engine alone, with the arguments that the service gives it."""
    Path(uds).unlink(missing_ok=True)
    with _started(argv, {**os.environ, **env}) as (process, started_at):
        yield Running(process=process, started_at=started_at, address=uds, run_dir=Path(uds).parent)


@contextmanager
def _started(argv: Sequence[str], env: Mapping[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    with tempfile.TemporaryFile() as log:
        started_at = time.monotonic()
        process = subprocess.Popen(argv, env=dict(env), stdout=log, stderr=log, start_new_session=True)
        try:
            yield process, started_at
        except BaseException:
            log.seek(max(log.tell() - LOG_BYTES, 0))
            shutil.copyfileobj(log, sys.stderr.buffer)
            raise
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_SECONDS)


def children(pid: int) -> list[int]:
    """Return all descendants of a process."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *children(int(child))]
    return found


def pss_kib(pid: int) -> int:
    """Return the proportional set size in KiB: shared memory counts by its share."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0
