"""Watch nginx's workers: of one that is killed, the ends of its requests are never written."""

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import suppress

from nim.cleanup.read_and_watch_processes import SCAN_INTERVAL_SECONDS, Process, read_process

log = logging.getLogger(__name__)


class WorkerWatch:
    """The workers that have asked the router. Once one ends, `ended` is called with its pid, once.

    `ended` returns how many requests the worker left unfinished: none where it ended by itself.
    """

    def __init__(self, ended: Callable[[int], int]) -> None:
        self._ended = ended
        self._fds: dict[int, int] = {}
        self._scans: dict[int, asyncio.TimerHandle] = {}

    def watch(self, pid: int) -> None:
        """Watch a worker, unless it is watched already."""
        if pid in self._fds or pid in self._scans or not pid:
            return
        loop = asyncio.get_running_loop()
        try:
            fd = self._fds[pid] = os.pidfd_open(pid)
        except ProcessLookupError:
            loop.call_soon(self._report, pid)
        except OSError:  # missing or forbidden here
            self._scan(pid, read_process(pid))
        else:
            loop.add_reader(fd, self._gone, pid)

    def close(self) -> None:
        """Watch no worker any more."""
        for timer in self._scans.values():
            timer.cancel()
        for fd in self._fds.values():
            asyncio.get_running_loop().remove_reader(fd)
            os.close(fd)
        self._fds, self._scans = {}, {}

    def _scan(self, pid: int, process: Process | None) -> None:
        """Report a worker if its process is gone, else look again later; used without pidfd_open."""
        if process is not None and process.alive:
            loop = asyncio.get_running_loop()
            self._scans[pid] = loop.call_later(SCAN_INTERVAL_SECONDS, self._scan, pid, process)
            return
        self._scans.pop(pid, None)
        self._report(pid)

    def _gone(self, pid: int) -> None:
        """Report a worker whose process has ended."""
        fd = self._fds.pop(pid)
        asyncio.get_running_loop().remove_reader(fd)
        with suppress(OSError):
            os.close(fd)
        self._report(pid)

    def _report(self, pid: int) -> None:
        """Pass on that a worker has ended, and log what it left."""
        if left := self._ended(pid):
            log.warning("a worker of nginx (pid %d) ended with %d requests unfinished", pid, left)
