"""A lock on a model's directory in the cache, held by the one process that fetches into it.

The kernel's lock (flock) ends with its process, also on file servers, and is all there is where the file
system has it. Elsewhere a lease is written: its holder renews it, and it is taken over once it was not
renewed for a minute by the clock of who waits, so that clocks of other machines do not matter.
"""

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

from nim.errors import PreflightError

POLL_SECONDS, SAY_SECONDS = 0.2, 15.0
RENEW_SECONDS, STALE_SECONDS = 10.0, 60.0
LEASE_SUFFIX = ".lease"
_NO_FLOCK = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)


@contextmanager
def held(
    path: Path, say: Callable[[str], None], may_stop: Callable[[], bool] = lambda: False
) -> Iterator[bool]:
    """Hold the lock `path` in the block, after waiting for its holder; yield False if `may_stop` said so.

    `may_stop` is asked while waiting: what the other process fetches may be complete already.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise PreflightError(
            f"cannot lock '{path}': {error.strerror}", hint=f"ls -ld '{path.parent}'"
        ) from error
    try:
        take = _Flock(fd)
        taken = _wait(take, path, say, may_stop)
        if taken is None:
            lease = _Lease(Path(f"{path}{LEASE_SUFFIX}"))
            taken = _wait(lease, path, say, may_stop)
            with lease.renewed() if taken else nullcontext():
                yield bool(taken)
            return
        yield taken
    finally:
        os.close(fd)


class _Flock:
    """The kernel's lock on an open file."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def take(self) -> bool | None:
        """Return whether the lock was taken; None if the file system has no such locks."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in _NO_FLOCK:
                return None
            raise
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, _this_process().encode(), 0)
        return True


class _Lease:
    """A file that exists while the lock is held, and whose change shows that its holder lives."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[Any, float] | None = None

    def take(self) -> bool:
        """Return whether the lease was taken: there was none, or one that was not renewed for a minute."""
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            self._remove_if_stale()
            return False
        os.write(fd, _this_process().encode())
        os.close(fd)
        return True

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Renew the lease during the block, then remove it."""
        over = Event()

        def renew() -> None:
            """Change the file's time at intervals."""
            while not over.wait(RENEW_SECONDS):
                with suppress(OSError):
                    self._path.write_text(_this_process(), encoding="utf-8")

        thread = Thread(target=renew, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self._path.unlink(missing_ok=True)

    def _remove_if_stale(self) -> None:
        """Remove the lease of another process that has not changed for a minute while it was watched."""
        with suppress(OSError):
            found = self._path.stat()
            now, mark = time.monotonic(), (found.st_mtime_ns, found.st_ino)
            if self._seen is None or self._seen[0] != mark:
                self._seen = (mark, now)
            elif now - self._seen[1] > STALE_SECONDS:
                aside = Path(f"{self._path}.{os.getpid()}")
                self._path.rename(aside)  # of two that find it stale, one succeeds
                aside.unlink()


def _wait(
    lock: _Flock | _Lease, path: Path, say: Callable[[str], None], may_stop: Callable[[], bool]
) -> bool | None:
    """Return True when the lock is taken, False when `may_stop` says so, None without such locks."""
    said_at = 0.0
    while not (taken := lock.take()):
        if taken is None or may_stop():
            return taken
        if time.monotonic() - said_at > SAY_SECONDS:
            said_at = time.monotonic()
            say(f"{_shown_holder(path)} fetches it into the same cache: waiting for that")
        time.sleep(POLL_SECONDS)
    return True


def _this_process() -> str:
    """Return the text to write into a lock file about this process: JSON of host, pid and time."""
    return json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "at": int(time.time())})


def _shown_holder(path: Path) -> str:
    """Return the holder of a lock as text for people."""
    for file in (path, Path(f"{path}{LEASE_SUFFIX}")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            data = json.loads(file.read_text(encoding="utf-8"))
            return f"process {data['pid']} on {data['host']}"
    return "another process"
