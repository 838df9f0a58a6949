"""The run directory of a service: private, writable, locked by one service at a time."""

import fcntl
import os
import stat
import time
from contextlib import suppress
from pathlib import Path

from nim.errors import PreflightError
from nim.plan import (
    DRAINING_FILE,
    LOCK_FILE,
    MIDDLEWARE_SOCKET,
    SERVING_FILE,
    STALLED_FILE,
    STATUS_SOCKET,
    SUPERVISOR_SOCKET,
    VERDICT_FILE,
)

# The longest path of a unix socket, and the longest name used here.
SOCKET_PATH_BYTES = 107
SUPERVISORD_PID_FILE = "supervisord.pid"
LEFTOVER_SECONDS = 15.0
LONGEST_SOCKET_NAME = "middleware.sock"
# Characters with a meaning to nginx or supervisord; this path does not need them.
_TROUBLE = frozenset("\"'\\$%;#{}\n\r\t")


def take(path: Path) -> int:
    """Create and lock the run directory, remove leftovers; return the lock's fd, or PreflightError."""
    _check_path(path)
    _make(path)
    check_owner(path, path.lstat())
    lock = _lock(path)
    _wait_for_leftovers(path, lock)
    # Left by an earlier service; sockets of a killed one cannot be bound again.
    sockets = (STATUS_SOCKET, MIDDLEWARE_SOCKET, SUPERVISOR_SOCKET)
    for name in (DRAINING_FILE, STALLED_FILE, SERVING_FILE, VERDICT_FILE, *sockets):
        (path / name).unlink(missing_ok=True)
    return lock


def release(path: Path, lock: int) -> None:
    """Remove the lock file of the run directory and close its descriptor."""
    with suppress(OSError):
        (path / LOCK_FILE).unlink(missing_ok=True)
    os.close(lock)


def remove_directory(path: Path) -> None:
    """Delete a directory with the files in it; errors are ignored, such as for a directory in it."""
    with suppress(OSError):
        for entry in path.iterdir():
            entry.unlink()
        path.rmdir()


def remove_tree(path: Path) -> None:
    """Delete a directory with all that is in it, directories included; errors are ignored."""
    if path.is_dir() and not path.is_symlink():
        import shutil  # not needed by most services

        shutil.rmtree(path, ignore_errors=True)


def _check_path(path: Path) -> None:
    """Raise PreflightError for a path that is relative, too long for sockets or not plain text."""
    socket_path = str(path / LONGEST_SOCKET_NAME)
    if len(os.fsencode(socket_path)) > SOCKET_PATH_BYTES:
        raise PreflightError(
            f'cannot use "{path}" as the run directory: the path of a socket in it is too long',
            allowed=(f"at most {SOCKET_PATH_BYTES - len(LONGEST_SOCKET_NAME) - 1} bytes",),
            hint="NIM_RUN_DIR=/run/nim",
        )
    if not path.is_absolute() or _TROUBLE & set(str(path)):
        raise PreflightError(
            f'cannot use "{path}" as the run directory: it must be an absolute path of plain characters',
            hint="NIM_RUN_DIR=/run/nim",
        )


def _make(path: Path) -> None:
    """Create the directory with mode 700 unless it exists; PreflightError if that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    except FileExistsError as error:
        raise PreflightError(
            f'cannot use "{path}" as the run directory: "{error.filename}" is not a directory',
            hint="NIM_RUN_DIR=… elsewhere",
        ) from error
    except OSError as error:
        raise PreflightError(
            f'cannot make the run directory "{path}": {error.strerror}',
            hint="NIM_RUN_DIR=… where this user may write, or mount something writable there (--tmpfs)",
        ) from error


def open_private(path: Path) -> int:
    """Return a descriptor of another service's run directory; PreflightError if it is not private.

    OSError if it cannot be opened, or is a link. What is read through the descriptor is of that directory.
    """
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        check_owner(path, os.fstat(directory))
    except PreflightError:
        os.close(directory)
        raise
    return directory


def check_owner(path: Path, found: os.stat_result) -> None:
    """Raise PreflightError unless the path is a directory of this user that others cannot enter."""
    if not stat.S_ISDIR(found.st_mode):
        raise PreflightError(
            f'cannot use "{path}" as the run directory: it is not a directory', hint="NIM_RUN_DIR=… elsewhere"
        )
    if found.st_uid != os.geteuid():
        raise PreflightError(
            f'cannot use "{path}" as the run directory: it belongs to user {found.st_uid}, '
            f"and this is user {os.geteuid()}",
            hint="NIM_RUN_DIR=… elsewhere, in a place of this user's own",
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        raise PreflightError(
            f'cannot use "{path}" as the run directory: others may enter it (mode {mode:o})',
            hint=f"NIM_RUN_DIR={path}/nim, which will be private",
        )


def _lock(path: Path) -> int:
    """Lock the lock file, write this process's pid to it, return its descriptor; PreflightError if held."""
    while True:
        fd = _open_lock(path)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = lock_holder(fd)
            os.close(fd)
            raise PreflightError(
                f'cannot use "{path}" as the run directory: process {holder or "?"} serves from it',
                hint=f"kill {holder}, or NIM_RUN_DIR=… for a second service" if holder else "NIM_RUN_DIR=…",
            ) from None
        if _is_current(path / LOCK_FILE, fd):
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
            return fd
        os.close(fd)


def _wait_for_leftovers(path: Path, lock: int) -> None:
    """Wait up to 15 s for a killed service's supervisord to end; PreflightError if it does not."""
    deadline = time.monotonic() + LEFTOVER_SECONDS
    while (pid := _supervisord(path)) is not None:
        if time.monotonic() > deadline:
            release(path, lock)
            raise PreflightError(
                f'cannot use "{path}" as the run directory: the supervisord of a service that was killed '
                f"is still ending it (process {pid})",
                hint=f"try again in a moment, or kill -9 {pid}",
            )
        time.sleep(0.1)


def _supervisord(path: Path) -> int | None:
    """Return the pid of a running supervisord of this directory; None if there is none."""
    with suppress(OSError, ValueError):
        pid = int((path / SUPERVISORD_PID_FILE).read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        log = Path(f"/proc/{pid}/fd/1").readlink()
        if b"nim.supervision.supervisord.child_main" in command and log.is_relative_to(path.resolve()):
            return pid
    return None


def _open_lock(path: Path) -> int:
    """Open or create the lock file; return its descriptor, PreflightError if that fails."""
    try:
        return os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise PreflightError(
            f'cannot write in the run directory "{path}": {error.strerror}',
            hint=f"chmod 700 '{path}', or NIM_RUN_DIR=… where this user may write",
        ) from error


def _is_current(lock: Path, fd: int) -> bool:
    """Return whether the descriptor is of the lock file that is now in the directory."""
    with suppress(OSError):
        return lock.stat().st_ino == os.fstat(fd).st_ino
    return False


def lock_holder(fd: int) -> int | None:
    """Return the pid written in an open lock file; None if there is none."""
    text = os.pread(fd, 32, 0).decode(errors="replace").strip()
    return int(text) if text.isdecimal() else None
