"""Start a service, check that it is complete and healthy, and that nothing is left of it."""

import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from nim.cleanup.read_and_watch_processes import Process, all_processes, below, read_process
from tests.gateway.nginx import free_port
from tests.process.service import ROLES, Service, command_line
from tests.soak import remains
from tests.soak.judge import Outcome
from tests.soak.kinds import Kind
from tests.soak.load import Load

GONE_SECONDS = 60.0


class FaultFound(AssertionError):
    """The service did what it must not do."""


class Stage:
    """One run directory and one port, in which one service after the other lives."""

    def __init__(self, kind: Kind, directory: Path, rng: Random) -> None:
        self.kind, self.directory = kind, directory
        self.port, self.run_dir, self.tmp = free_port(), directory / "run", directory / "tmp"
        self.tmp.mkdir()
        own = Random(rng.random())  # the clients' thread draws when it likes
        self.load = Load(self.port, kind.questions(own), own, kind.clients)
        self.mood: Mapping[str, Any] = {}
        self.cast: Counter[str] = Counter()
        self.service: Service | None = None
        self.said: list[list[str]] = []
        self._segments: set[str] = set()

    @property
    def running(self) -> Service:
        assert self.service, "nothing runs"
        return self.service

    @property
    def clean_codes(self) -> tuple[int, ...]:
        """Return the exit codes of a harmless stop: an outliving engine process has to be killed."""
        return (143,) if self.mood.get("orphans") else (0,)

    # coming and going

    def begin(self, **mood: Any) -> None:
        """Start a service and do not wait for it."""
        self.mood = mood
        plan = self.kind.plan(self.directory, self.port, mood)
        self.service = Service(plan, self.directory, boot=self.kind.boot, TMPDIR=str(self.tmp))
        self.said.append(self.service.lines)

    def up(self, **mood: Any) -> None:
        """Start a service and wait until it is well."""
        self.begin(**mood)
        self.cast.clear()
        self.wait(self._answers, "a first readiness")
        self.cast = self.roles()
        assert not (nobody := ROLES.keys() - self.cast), f"the soak knows nobody as {nobody}: {self.cast}"
        self.be_well()

    def ended(self) -> int:
        """Return the exit code, when the service has ended; nothing may be left then."""
        code = self.await_end()
        self.running.stderr.close()
        self.service = None
        return code

    def await_end(self) -> int:
        """Return the exit code of a service that has to end."""
        try:
            return self.running.wait(self.kind.patience_seconds)
        except subprocess.TimeoutExpired:
            raise FaultFound(f"waited in vain for the end of the service; {self._looks()}") from None

    def down(self) -> None:
        """Shut down a service that no fault has ended."""
        if self.service:
            self.service.send(signal.SIGTERM)
            if (code := self.ended()) not in self.clean_codes:
                raise FaultFound(f"exit code {code} after SIGTERM without any load")
            self.be_gone()

    def clear_away(self) -> None:
        """Kill everything after a fault was found."""
        if self.service:
            self.service.process.kill()
            self.service.process.wait()
            self.service.stderr.close()
            self.service = None
        deadline = time.monotonic() + GONE_SECONDS
        while (left := self._tree(os.getpid())) and time.monotonic() < deadline:
            for process in left:
                process.send(signal.SIGKILL)
            time.sleep(0.1)
            self._reap()
        for path in self.tmp.iterdir():
            if not path.is_dir():
                path.unlink()
        self._segments.clear()

    # who plays

    def roles(self) -> Counter[str]:
        """Return how many of each there are; a stranger is named as the kernel does."""
        return Counter(self.role(p) for p in self.running.processes())

    def role(self, process: Process) -> str:
        """Return what a process is in the service."""
        if process.state in "ZX":
            return f"zombie {process.name}"
        line = command_line(process.pid)
        found = (role for role, pattern in ROLES.items() if re.search(pattern, line))
        return next(found, process.name)

    def players(self, role: str) -> list[Process]:
        """Return those who play it now. PID 1 is what was started."""
        if role == "PID 1":
            return [process for process in [read_process(self.running.process.pid)] if process]
        return [process for process in self.running.processes() if self.role(process) == role]

    # whether all is well

    def wait(self, true: Callable[[], bool], what: str) -> None:
        """Wait until the condition holds, while the service runs."""
        deadline = time.monotonic() + self.kind.patience_seconds
        while not true():
            if (code := self.running.process.poll()) is not None:
                raise FaultFound(f"the service ended with {code} before {what}")
            if time.monotonic() > deadline:
                raise FaultFound(f"waited in vain for {what}; {self._looks()}")
            time.sleep(0.02)

    def be_back(self) -> None:
        """Wait until all processes run and the service is ready."""
        self.wait(lambda: self._answers() and (not self.cast or self.roles() == self.cast), "its return")

    def be_well(self) -> None:
        """Check that the service is back, answers correctly, and has no extra processes."""
        self.be_back()
        bad = [v for v in self.load.ask(self.load.questions.all_dialects()) if v.outcome is not Outcome.WHOLE]
        if bad:
            raise FaultFound(f"in calm, {bad[0].outcome}: {bad[0].why}")
        own = {process.pid for process in self.running.processes()} | {self.running.process.pid}
        for pid in own:
            self._segments |= remains.shared_memory_of(pid)
        strangers = [text for text in remains.processes_of(self.run_dir) if int(text.split()[0]) not in own]
        if strangers:
            raise FaultFound(f"beside the service: {strangers}")

    def _answers(self) -> bool:
        service = self.running
        return service.ready() and service.get("/v1/version")[0] == 200 and service.state().ready

    def _looks(self) -> str:
        return f"{dict(self.roles())} instead of {dict(self.cast)}; {self.running.get('/v1/health/ready')}"

    # whether nothing is left

    def be_gone(self, *, files: bool = True) -> None:
        """Check that no process, listener, socket, pipe, lock or segment is left."""
        deadline = time.monotonic() + GONE_SECONDS
        while (left := self._left(files)) and time.monotonic() < deadline:
            time.sleep(0.05)
            self._reap()
        if left:
            raise FaultFound(f"left behind: {left}")

    def _left(self, files: bool) -> list[str]:
        left = [f"{process.pid} {process.name}" for process in self._tree(os.getpid())]
        left += remains.processes_of(self.run_dir)
        if files:
            left += remains.special_files(self.run_dir, self.tmp)
            left += remains.still_there(self._segments)
        return left if remains.port_is_free(self.port) else [*left, f"port {self.port}"]

    @staticmethod
    def _tree(pid: int) -> list[Process]:
        return [process for process in below(pid, all_processes()) if process.state not in "ZX"]

    @staticmethod
    def _reap() -> None:
        """Reap processes reparented after PID 1 was killed; the service itself is waited for elsewhere."""
        for process in below(os.getpid(), all_processes()):
            if process.state == "Z" and process.parent == os.getpid():
                with suppress(ChildProcessError):
                    os.waitpid(process.pid, os.WNOHANG)
