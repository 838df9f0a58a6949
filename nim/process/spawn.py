"""How supervisord is started, and what the kernel is asked to do when a parent dies."""

import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from nim.paths import SUPERVISORD_CONF
from nim.plan import LOG_DIR

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


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


def spawn_supervisor(run_dir: Path, environ: Mapping[str, str]) -> int:
    """Start stock supervisord in a session of its own, its log going into its pipe; its pid."""
    if pid := os.fork():
        return pid
    try:
        os.setsid()
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        die_with_parent(signal.SIGTERM)
        nothing = os.open(os.devnull, os.O_RDONLY)
        log = os.open(run_dir / LOG_DIR / "supervisord", os.O_RDWR)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        command = (sys.executable, "-I", "-m", "supervisor.supervisord", "-n", "-c", str(SUPERVISORD_CONF))
        os.execve(sys.executable, command, environ)  # noqa: S606
    finally:
        os._exit(127)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
