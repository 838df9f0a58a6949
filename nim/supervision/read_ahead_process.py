"""Read weight files into the page cache: `python -I -m nim.supervision.read_ahead_process RUN_DIR`.

Runs beside an engine that starts, for many seconds before that reads the first weight. The files are
read in the order in which the engine loads them, and what is cached already is skipped, so that this is never
behind an engine that has overtaken it. Ends with a result file, also on SIGTERM.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from nim.health.write_status_files import write_file
from nim.plan import PLAN_FILE, READ_AHEAD_FILE, Plan
from nim.supervision.supervisord.start_supervisord import die_with_parent

CHUNK_BYTES = 16 * 1024 * 1024
BLOCK_BYTES = 1024 * 1024
# Network file systems and object stores behind one need several requests at once, a disk hardly.
THREADS = 4

Chunk = tuple[str, int, int]  # path, offset, bytes


class ReadAhead:
    """Reads files up to `limit` bytes in all, with THREADS threads, until `stop` is called."""

    def __init__(self, files: Sequence[str], limit: int) -> None:
        self.read_bytes = self.cached_bytes = 0
        self._chunks = chunks_of(files, limit)
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def run(self) -> None:
        """Read the files; return when all are read, or soon after `stop`."""
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive() and not self._stopped.is_set():  # a dead mount may hold a thread for ever
                thread.join(0.1)

    def stop(self) -> None:
        """Have `run` return soon."""
        self._stopped.set()

    def _work(self) -> None:
        """Read chunk after chunk until there are none; a file that cannot be read is left to the engine."""
        block = memoryview(bytearray(BLOCK_BYTES))
        path, fd = "", -1
        while not self._stopped.is_set() and (chunk := self._next()):
            with suppress(OSError):
                if chunk[0] != path:
                    fd = _reopen(fd, chunk[0])
                    path = chunk[0]
                self._read(fd, chunk[1], chunk[2], block)

    def _next(self) -> Chunk | None:
        with self._lock:
            return next(self._chunks, None)

    def _read(self, fd: int, offset: int, size: int, block: memoryview) -> None:
        """Read a chunk block by block, unless its first and last byte are cached.

        Stops everything if a byte just read is not cached: a file system without a page cache, or no room.
        """
        if is_cached(fd, offset) and is_cached(fd, offset + size - 1):
            with self._lock:
                self.cached_bytes += size
            return
        start, end = offset, offset + size
        while offset < end and not self._stopped.is_set():
            count = os.preadv(fd, [block[: end - offset]], offset)
            if not count:
                return
            offset += count
            with self._lock:
                self.read_bytes += count
        if is_cached(fd, start) is False:
            self.stop()


def chunks_of(files: Sequence[str], limit: int) -> Iterator[Chunk]:
    """Yield the (path, offset, bytes) of all chunks of these files in order, up to `limit` bytes in all."""
    for path in files:
        try:
            size = min(Path(path).stat().st_size, limit)
        except OSError:
            continue
        limit -= size
        for offset in range(0, size, CHUNK_BYTES):
            yield path, offset, min(CHUNK_BYTES, size - offset)


def is_cached(fd: int, offset: int) -> bool | None:
    """Return whether the byte at `offset` is in the page cache; None where the file system does not tell."""
    try:
        return os.preadv(fd, [bytearray(1)], offset, os.RWF_NOWAIT) == 1
    except BlockingIOError:
        return False
    except OSError:
        return None


def _reopen(fd: int, path: str) -> int:
    if fd >= 0:
        os.close(fd)
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def main(run_dir: Path) -> None:
    """Read the plan's weights and write how much was read, and in which time."""
    die_with_parent(signal.SIGKILL)
    plan = Plan.from_json((run_dir / PLAN_FILE).read_text(encoding="utf-8"))
    assert plan.read_ahead
    reader, began = ReadAhead(plan.read_ahead.files, plan.read_ahead.limit_bytes), time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: reader.stop())
    reader.run()
    result = {
        "read_bytes": reader.read_bytes,
        "cached_bytes": reader.cached_bytes,
        "seconds": round(time.monotonic() - began, 3),
    }
    write_file(run_dir / READ_AHEAD_FILE, json.dumps(result))
    os._exit(0)  # without waiting for a thread that a dead mount holds


if __name__ == "__main__":
    main(Path(sys.argv[1]))
