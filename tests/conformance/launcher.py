"""Start the judged program: an image by podman or docker, or a program on this machine."""

import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

COMMAND_SECONDS = 120.0
STORE = "/model-store"
# As the operator starts its pods: no root, no capabilities, no way to more of them.
CONFINED = (
    "--user",
    "1000:2000",
    "--cap-drop",
    "ALL",
    "--security-opt",
    "no-new-privileges",
    "--shm-size",
    "1g",
)
SCRATCH = ("--tmpfs", f"{STORE}:mode=1777,exec")

Done = subprocess.CompletedProcess[str]


class Running(Protocol):
    """A service that was started."""

    def alive(self) -> bool:
        """Return whether it has not ended."""

    def log(self) -> str:
        """Return what it has said."""

    def terminate(self, seconds: float) -> int | None:
        """Send SIGTERM; the exit code, or None when it has not ended in time."""

    def destroy(self) -> None:
        """Kill and remove the container."""


class Launcher(Protocol):
    """Starts what is judged. `image` is its name, None where it is none."""

    image: str | None

    def run(self, arguments: Sequence[str], env: Mapping[str, str]) -> Done:
        """Return one command, to its end."""

    def run_alone(self, command: Sequence[str]) -> Done:
        """Return the same in the place of the entry point, as Kubernetes' `command:` is."""

    def label(self, name: str) -> str:
        """Return a label of the image."""

    def store(self) -> str:
        """Return a directory for models, as the program sees it."""

    def serve(self, env: Mapping[str, str], ports: Sequence[int]) -> Running:
        """Return the service, on these ports."""

    def close(self) -> None:
        """Remove everything that was created."""


@dataclass
class Container:
    """An image. `tool` is podman or docker, with what must come before the verb; `options` go to `run`."""

    image: str | None
    tool: tuple[str, ...]
    options: tuple[str, ...] = ()
    cache: str | None = None

    def run(self, arguments: Sequence[str], env: Mapping[str, str]) -> Done:
        return _done([*self._command(env), "--rm", str(self.image), *arguments])

    def run_alone(self, command: Sequence[str]) -> Done:
        first, *others = command
        return _done([*self._command({}), "--rm", "--entrypoint", first, str(self.image), *others])

    def label(self, name: str) -> str:
        # An image without labels has nothing to index.
        form = '{{with .Config.Labels}}{{index . "' + name + '"}}{{end}}'
        done = _done([*self.tool, "image", "inspect", "--format", form, str(self.image)])
        if done.returncode:
            raise RuntimeError(f"cannot inspect {self.image}: {done.stderr.strip()}")
        text = done.stdout.strip()
        return "" if text == "<no value>" else text

    def store(self) -> str:
        return STORE

    def serve(self, env: Mapping[str, str], ports: Sequence[int]) -> Running:
        name = f"conformance-{uuid.uuid4().hex[:12]}"
        shared = any("--net" in option for option in self.options)
        publish = [] if shared else [f"--publish=127.0.0.1:{port}:{port}" for port in ports]
        command = [*self._command(env), "--detach", "--name", name, *publish, str(self.image)]
        done = _done(command)
        if done.returncode:
            raise RuntimeError(f"cannot start {self.image}: {done.stderr.strip()}")
        return Contained(self.tool, name)

    def close(self) -> None:
        """Each container is removed by itself."""

    def _command(self, env: Mapping[str, str]) -> list[str]:
        store = ("--volume", f"{self.cache}:{STORE}") if self.cache else SCRATCH
        words = [f"--env={name}={value}" for name, value in env.items()]
        return [*self.tool, "run", *CONFINED, *store, *self.options, *words]


@dataclass
class Contained:
    """A container that was started detached."""

    tool: tuple[str, ...]
    name: str

    def alive(self) -> bool:
        done = _done([*self.tool, "inspect", "--format", "{{.State.Running}}", self.name])
        return done.stdout.strip() == "true"

    def log(self) -> str:
        done = _done([*self.tool, "logs", self.name])
        return done.stdout + done.stderr

    def terminate(self, seconds: float) -> int | None:
        _done([*self.tool, "kill", "--signal", "TERM", self.name])
        try:
            done = _done([*self.tool, "wait", self.name], seconds)
        except subprocess.TimeoutExpired:
            return None
        return int(done.stdout.strip())

    def destroy(self) -> None:
        _done([*self.tool, "rm", "--force", self.name])


@dataclass
class Program:
    """A program on this machine that takes what the image would take."""

    path: str
    image: str | None = None
    _directory: tempfile.TemporaryDirectory[str] = field(default_factory=tempfile.TemporaryDirectory)

    def run(self, arguments: Sequence[str], env: Mapping[str, str]) -> Done:
        return _done([self.path, *arguments], env=os.environ | dict(env))

    def run_alone(self, command: Sequence[str]) -> Done:
        raise NotImplementedError(command)

    def label(self, name: str) -> str:
        raise NotImplementedError(name)

    def store(self) -> str:
        return self._directory.name

    def serve(self, env: Mapping[str, str], ports: Sequence[int]) -> Running:
        log = (Path(self._directory.name) / f"log-{ports[0]}").open("w+", encoding="utf-8")
        process = subprocess.Popen([self.path], env=os.environ | dict(env), stdout=log, stderr=log, text=True)
        return Started(process, log)

    def close(self) -> None:
        self._directory.cleanup()


@dataclass
class Started:
    """A process of our own."""

    process: subprocess.Popen[str]
    out: IO[str]

    def alive(self) -> bool:
        return self.process.poll() is None

    def log(self) -> str:
        return Path(self.out.name).read_text(encoding="utf-8", errors="replace")

    def terminate(self, seconds: float) -> int | None:
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def destroy(self) -> None:
        self.process.kill()
        self.process.wait()
        self.out.close()


def find_tool() -> str | None:
    """Return podman, or docker if its server answers; None for neither."""
    for tool in ("podman", "docker"):
        if shutil.which(tool) and _done([tool, "info"]).returncode == 0:
            return tool
    return None


def _done(
    command: Sequence[str], seconds: float = COMMAND_SECONDS, env: Mapping[str, str] | None = None
) -> Done:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        env=None if env is None else dict(env),
    )
