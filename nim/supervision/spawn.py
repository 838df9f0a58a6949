"""How supervisord is started, and what the kernel is asked to do when a parent dies."""

import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from nim.logging.pipes import NAMES
from nim.paths import SUPERVISORD_CONF
from nim.plan import LOG_DIR

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


@dataclass(slots=True, kw_only=True)
class Supervisord:
    """A supervisord that imports itself, then waits for the word. `word` is where that is written, once."""

    pid: int
    word: int | None

    @classmethod
    def prepare(cls) -> Self:
        """Start it, in a session of its own. It ends by itself when its parent does, or says nothing."""
        ear, word = os.pipe()
        if pid := os.fork():
            os.close(ear)
            return cls(pid=pid, word=word)
        try:
            os.setsid()
            for number in (signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            die_with_parent(signal.SIGTERM)
            os.dup2(ear, 0)
            os.set_inheritable(0, True)  # it was 0 already if there was no stdin
            os.execv(sys.executable, (sys.executable, "-I", "-m", "nim.supervision.supervisord"))  # noqa: S606
        finally:
            os._exit(127)

    def begin(self, run_dir: Path, environ: Mapping[str, str]) -> int:
        """Have it supervise the service of a run directory, its programs in this environment; its pid."""
        logs = run_dir / LOG_DIR
        word = {
            "configuration": str(SUPERVISORD_CONF),
            "environ": dict(environ),
            "log": str(logs / "supervisord"),
            "pipes": [str(logs / name) for name in NAMES],
        }
        assert self.word is not None
        ear, self.word = self.word, None
        with suppress(BrokenPipeError), os.fdopen(ear, "wb") as file:  # PID 1 will see that it has ended
            file.write(json.dumps(word).encode())
        return self.pid

    def dismiss(self) -> None:
        """There is nothing to supervise; what it may have started already it is left to end."""
        waits = self.word is not None
        if self.word is not None:
            os.close(self.word)
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL if waits else signal.SIGTERM)
            os.waitpid(self.pid, 0)


def adopt_orphans() -> None:
    """Become the parent of every descendant that loses its own, across an exec too; PID 1 is that already."""
    if os.getpid() != 1:
        _prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(number: int) -> None:
    """Be sent a signal when the parent dies. Below PID 1 the kernel sees to that."""
    parent = os.getppid()
    if parent > 1:
        _prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:
            os.kill(os.getpid(), number)


def _prctl(option: int, value: int) -> None:
    import ctypes  # 5 ms that the launcher need not wait for

    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
