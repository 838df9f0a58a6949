"""A bounded queue in front of stderr, so that a slow or absent reader blocks nothing."""

import errno
import os
import select
import socket
import stat
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from nim.event_loop import EventLoop

# About ten thousand lines.
QUEUE_BYTES = 2 * 1024 * 1024
# What a writable pipe accepts without blocking.
PIECE_BYTES = select.PIPE_BUF


class StderrQueue:
    """Writes lines to a descriptor shared with other processes, whose flags are therefore not changed.

    `report` formats the line with the number of dropped lines.
    """

    def __init__(self, fd: int, loop: EventLoop, report: Callable[[int], str]) -> None:
        self._loop, self._report = loop, report
        self._queue: deque[bytes] = deque()
        self._bytes = self._dropped = 0
        self._waiting = self._broken = False
        self._fd, self._write, self._release = _open(fd)

    def put(self, line: str, *, always: bool = False) -> None:
        """Write or queue a line; drop it when the queue is full, unless `always`."""
        data = line.encode(errors="replace")
        if self._broken:
            return
        if self._bytes + len(data) > QUEUE_BYTES and not always:
            self._dropped += 1
            return
        self._add(data)
        if not self._waiting:
            self._flush()

    def close(self, seconds: float) -> None:
        """Write what is queued, for at most `seconds`, and release the descriptor; later lines are lost."""
        deadline = time.monotonic() + seconds
        self._log_dropped()
        while self._queue and not self._broken and (left := deadline - time.monotonic()) > 0:
            select.select([], [self._fd], [], left)
            self._flush()
        self._wait(False)
        self._release()
        self._broken = True

    def _add(self, data: bytes) -> None:
        """Append data to the queue without writing it."""
        self._queue.append(data)
        self._bytes += len(data)

    def _log_dropped(self) -> None:
        """Append a line with the number of dropped lines to the queue; nothing if none was dropped."""
        if self._dropped:
            self._add(self._report(self._dropped).encode())
            self._dropped = 0

    def _flush(self) -> None:
        """Write until the queue is empty or the reader blocks; an error drops the queue."""
        try:
            while self._queue:
                self._write_piece()
                if self._bytes < QUEUE_BYTES // 2:
                    self._log_dropped()
        except BlockingIOError:
            self._wait(True)
        except OSError as error:
            self._failed(error)
            self._wait(False)
        else:
            self._wait(False)

    def _failed(self, error: OSError) -> None:
        """Drop the queue after a write error; a closed reader is final, a full disk may recover."""
        self._broken = error.errno in (errno.EPIPE, errno.ECONNRESET, errno.EBADF)
        self._dropped += len(self._queue)
        self._queue.clear()
        self._bytes = 0

    def _write_piece(self) -> None:
        """Write at most PIPE_BUF bytes of the first queued line; BlockingIOError if that would block."""
        piece = self._queue[0]
        written = self._write(piece[:PIECE_BYTES])
        self._bytes -= written
        if written < len(piece):
            self._queue[0] = piece[written:]
        else:
            self._queue.popleft()

    def _wait(self, wanted: bool) -> None:
        """Have the loop call `_flush` when the descriptor is writable if `wanted`, else stop that."""
        if wanted and not self._waiting:
            self._loop.watch(self._fd, self._flush, writable=True)
        elif self._waiting and not wanted:
            self._loop.unwatch(self._fd)
        self._waiting = wanted


def _open(fd: int) -> tuple[int, Callable[[bytes], int], Callable[[], None]]:
    """Return (descriptor, non-blocking write function, close function) for the file behind `fd`."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISSOCK(mode):
        link = socket.socket(fileno=os.dup(fd))
        flags = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
        return link.fileno(), lambda data: link.send(data, flags), link.close
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        with suppress(OSError):
            own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
            return own, lambda data: os.write(own, data), lambda: os.close(own)
        return fd, lambda data: _write_if_ready(fd, data), lambda: None
    return fd, lambda data: os.write(fd, data), lambda: None


def _write_if_ready(fd: int, data: bytes) -> int:
    """Write data and return the number of bytes written; raise BlockingIOError if that would block."""
    if not select.select([], [fd], [], 0)[1]:
        raise BlockingIOError
    return os.write(fd, data)
