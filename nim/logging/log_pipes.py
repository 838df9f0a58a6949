"""Create and read the named pipes into which the programs write their logs, one each."""

import fcntl
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from nim.plan import LOG_DIR

NAMES = ("engine", "nginx", "access", "middleware", "supervisord")
# How far a program may be ahead before it blocks, and how much is read of one pipe at a time.
CAPACITY_BYTES = 1024 * 1024
READ_BYTES = 65536
# A longer line is split.
LINE_BYTES = 32768


def make_pipes(run_dir: Path, more: Iterable[str] = ()) -> None:
    """Create the missing named pipes in the run directory, replacing anything else of that name.

    `more` are pipes that another program than PID 1 reads.
    """
    directory = run_dir / LOG_DIR
    directory.mkdir(mode=0o700, exist_ok=True)
    for name in (*NAMES, *more):
        path = directory / name
        if not path.is_fifo():
            path.unlink(missing_ok=True)
            os.mkfifo(path, 0o600)


def existing_pipes(run_dir: Path) -> list[str]:
    """Return the sorted names of all named pipes of the run directory."""
    with suppress(OSError):
        return sorted(path.name for path in (run_dir / LOG_DIR).iterdir() if path.is_fifo())
    return []


def remove_pipes(run_dir: Path) -> None:
    """Delete all named pipes of the run directory."""
    for name in existing_pipes(run_dir):
        (run_dir / LOG_DIR / name).unlink(missing_ok=True)


def open_pipe(run_dir: Path, name: str) -> int:
    """Return a descriptor of a named pipe opened for reading and writing, so that it never ends."""
    fd = os.open(run_dir / LOG_DIR / name, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    with suppress(OSError):  # the user's limit of memory for pipes may be reached
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, CAPACITY_BYTES)
    return fd


class Pipe:
    """The log lines of one program. `progress` gets the text of a progress bar before its line ends."""

    def __init__(self, fd: int, line: Callable[[str], None], progress: Callable[[str], None]) -> None:
        self.fd = fd
        self._line, self._progress = line, progress
        self._rest = b""

    def read(self) -> bool:
        """Read from the pipe once, call back with each whole line; return whether anything had arrived."""
        try:
            data = os.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return False
        *lines, rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._hand_on(line)
        while len(rest) > LINE_BYTES:
            self._hand_on(rest[:LINE_BYTES])
            rest = rest[LINE_BYTES:]
        bar, back, rest = rest.rpartition(b"\r")
        if back and (text := bar.rpartition(b"\r")[2]):
            self._progress(text.decode(errors="replace"))
        self._rest = rest
        return True

    def catch_up(self) -> None:
        """Read all that was written to the pipe so far, and call back with its lines, without waiting."""
        for _ in range(CAPACITY_BYTES // READ_BYTES + 1):
            if not self.read():
                break

    def _hand_on(self, line: bytes) -> None:
        """Call back with a line as text, of a redrawn progress bar only its last state, unless blank."""
        shown = line.rstrip(b"\r").rpartition(b"\r")[2]
        if shown.strip():
            self._line(shown.decode(errors="replace"))
