"""Start supervisord early; set what the kernel does with orphans and when a parent dies."""

import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from nim.data_paths import SUPERVISORD_CONF
from nim.logging.log_pipes import existing_pipes
from nim.plan import LOG_DIR

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


@dataclass(slots=True, kw_only=True)
class Supervisord:
    """A supervisord process that has been imported and waits on a pipe for its configuration."""

    pid: int
    word: int | None

    @classmethod
    def prepare(cls) -> Self:
        """Fork a process that imports supervisord and waits for its configuration; return a Supervisord."""
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
            os.set_inheritable(0, True)  # the pipe is already fd 0 if there was no stdin
            os.execv(sys.executable, (sys.executable, "-I", "-m", "nim.supervision.supervisord.child_main"))  # noqa: S606
        finally:
            os._exit(127)

    def begin(self, run_dir: Path, environ: Mapping[str, str]) -> int:
        """Send the waiting process its configuration and `environ`; return the pid of this supervisord."""
        logs = run_dir / LOG_DIR
        word = {
            "configuration": str(SUPERVISORD_CONF),
            "environ": dict(environ),
            "log": str(logs / "supervisord"),
            "pipes": [str(logs / name) for name in existing_pipes(run_dir)],
        }
        assert self.word is not None
        ear, self.word = self.word, None
        with suppress(BrokenPipeError), os.fdopen(ear, "wb") as file:  # PID 1 will notice that it has ended
            file.write(json.dumps(word).encode())
        return self.pid

    def dismiss(self) -> None:
        """Kill the process, with SIGTERM once it has its configuration, and wait until it has ended."""
        waits = self.word is not None
        if self.word is not None:
            os.close(self.word)
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL if waits else signal.SIGTERM)
            os.waitpid(self.pid, 0)


def adopt_orphans() -> None:
    """Make this process the subreaper of all its descendants (survives exec); nothing as PID 1."""
    if os.getpid() != 1:
        _prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(number: int) -> None:
    """Have the kernel send this process signal `number` when its parent dies; nothing below PID 1."""
    parent = os.getppid()
    if parent > 1:
        _prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:
            os.kill(os.getpid(), number)


def _prctl(option: int, value: int) -> None:
    """Call prctl(2) of the C library; a failure is ignored."""
    import ctypes  # takes 5 ms, which the launcher saves

    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
