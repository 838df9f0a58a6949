"""Run containers of the image as a cluster does, and inspect them."""

import http.client
import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.gateway.nginx import free_port
from tests.image.storage import IMAGE, Storage

LIVE_SECONDS = 120
READY_SECONDS = 900
COMMAND_SECONDS = 300

CACHE = "/opt/nim/.cache"
# What a careful cluster allows: nothing. `/tmp` is for the run directory, the cache is a volume.
HARDENED = (
    *("--read-only", "--read-only-tmpfs=false", "--tmpfs", "/tmp", "--passwd=false"),
    *("--cap-drop", "all", "--security-opt", "no-new-privileges"),
)
ENOUGH_SHM = ("--shm-size", "256m")


def once(storage: Storage, *words: str, options: Sequence[str] = ()) -> "subprocess.CompletedProcess[str]":
    """Return a container that does what `words` say, and is gone: what serves instead is ended by podman."""
    most = ("--timeout", str(COMMAND_SECONDS))
    command = [*storage.podman, "run", "--rm", "--network", "none", *most, *options, IMAGE, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=2 * COMMAND_SECONDS, check=False)


class Container:
    """A service in a container of its own, on this machine's network."""

    def __init__(self, storage: Storage, *words: str, options: Sequence[str] = (), **env: str) -> None:
        self._podman = storage.podman
        self.name = f"nim-{uuid.uuid4().hex[:12]}"
        self.port = free_port()
        env |= {"NIM_SERVER_PORT": str(self.port)}
        given = [f"--env={name}={value}" for name, value in env.items()]
        network = ("--network", "host")
        self.podman("run", "--detach", "--name", self.name, *network, *given, *options, IMAGE, *words)

    def podman(self, *words: str, seconds: float = COMMAND_SECONDS) -> str:
        done = subprocess.run(
            [*self._podman, *words], capture_output=True, text=True, timeout=seconds, check=False
        )
        assert done.returncode == 0, f"podman {words[0]} ended with {done.returncode}: {done.stderr}"
        return done.stdout

    # asking

    def get(self, path: str, body: Any = None) -> tuple[int, bytes]:
        """Return status and body; 0 when nobody answers."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            headers = {"Content-Type": "application/json"}
            link.request("POST" if body else "GET", path, json.dumps(body) if body else None, headers)
            answer = link.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            link.close()

    def json(self, path: str, body: Any = None) -> Any:
        status, answer = self.get(path, body)
        assert status == 200, (path, status, answer, self.log())
        return json.loads(answer)

    def exec(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Return a command in the running container, as an exec probe or a preStop hook would."""
        command = [*self._podman, "exec", self.name, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)

    def healthy(self) -> bool:
        """Return what the image's own health check says, asked now."""
        done = subprocess.run(
            [*self._podman, "healthcheck", "run", self.name], capture_output=True, text=True, check=False
        )
        assert done.returncode in (0, 1), done.stderr
        return done.returncode == 0

    def log(self) -> str:
        done = subprocess.run(
            [*self._podman, "logs", self.name],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.stdout

    def state(self) -> Any:
        return json.loads(self.podman("inspect", "--type", "container", self.name))[0]["State"]

    # waiting

    def wait_live(self) -> "Container":
        """Wait until nginx and, a moment later, the middleware answer."""
        return self._wait("/v1/health/live", LIVE_SECONDS)._wait("/v1/metadata", LIVE_SECONDS)

    def wait_ready(self) -> "Container":
        return self._wait("/v1/health/ready", READY_SECONDS)

    def wait(self) -> int:
        """Return its exit code, once it has ended."""
        return int(self.podman("wait", self.name))

    def _wait(self, path: str, seconds: float) -> "Container":
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.get(path)[0] == 200:
                return self
            assert self.state()["Running"], f"it ended:\n{self.log()[-6000:]}"
            time.sleep(0.5)
        raise AssertionError(f"{path} is not 200 after {seconds} s:\n{self.log()[-6000:]}")

    # ending

    def stop(self) -> int:
        """Stop as a kubelet does, with the image's signal and 30 seconds; return the exit code."""
        self.podman("stop", "--time", "30", self.name)
        return int(self.state()["ExitCode"])

    def kill(self) -> int:
        self.podman("kill", "--signal", "KILL", self.name)
        return self.wait()

    def start_again(self) -> "Container":
        self.podman("start", self.name)
        return self


@contextmanager
def running(storage: Storage, *words: str, options: Sequence[str] = (), **env: str) -> Iterator[Container]:
    """Yield a service that is gone afterwards."""
    container = Container(storage, *words, options=options, **env)
    try:
        yield container
    finally:
        with suppress(AssertionError):
            container.podman("rm", "--force", "--time", "0", container.name)


def volume(directory: Path, owner: str, place: str, mode: int = 0o755) -> tuple[str, str]:
    """Return a directory that belongs to this user and group, mounted."""
    uid, gid = map(int, owner.split(":"))
    directory.mkdir(exist_ok=True)
    os.chown(directory, uid, gid)
    directory.chmod(mode)
    return "--volume", f"{directory}:{place}"
