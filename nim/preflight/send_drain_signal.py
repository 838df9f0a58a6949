"""Ask the service of a run directory to shut down."""

import fcntl
import os
import signal
import stat
from contextlib import suppress
from pathlib import Path

from nim.errors import PreflightError
from nim.plan import LOCK_FILE
from nim.preflight.run_directory import lock_holder, open_private


def ask_to_drain(run_dir: str) -> int:
    """Send SIGUSR1 to the service that has locked the directory; return its pid, or PreflightError.

    PreflightError if the directory is not private to this user: somebody else could name any process in it.
    """
    path = Path(run_dir)
    try:
        directory = open_private(path)
    except OSError as error:
        raise _nothing_to_drain(path, error.strerror) from None
    try:
        pid = _signal_holder(directory)
    finally:
        os.close(directory)
    if pid is None:
        raise _nothing_to_drain(path)
    return pid


def _nothing_to_drain(path: Path, why: str | None = None) -> PreflightError:
    """Return (not raise) the PreflightError that no service runs in the directory."""
    return PreflightError(
        f'cannot drain: no service runs in "{path}"' + (f" ({why})" if why else ""),
        hint="NIM_RUN_DIR=… as the service has it",
    )


def _signal_holder(directory: int) -> int | None:
    """Send SIGUSR1 to the process that holds the lock file; return its pid, None if there is none."""
    with suppress(OSError):
        fd = os.open(LOCK_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        try:
            pid = _locked_by(fd)
            if pid is None:
                return None
            process = os.pidfd_open(pid)  # first, so that the process checked is the one signalled
            try:
                if _has_open(pid, os.fstat(fd)):
                    signal.pidfd_send_signal(process, signal.SIGUSR1)
                    return pid
            finally:
                os.close(process)
        finally:
            os.close(fd)
    return None


def _locked_by(fd: int) -> int | None:
    """Return the pid in a lock file that another process has locked; None if it is not locked."""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return lock_holder(fd)
    return None


def _has_open(pid: int, file: os.stat_result) -> bool:
    """Return whether the process has the file open, by its descriptors in /proc."""
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            if os.path.samestat(entry.stat(), file):
                return True
    return False
