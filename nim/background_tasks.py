"""Run blocking calls in a thread beside the event loop: a network file system can hang for minutes."""

import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from nim.event_loop import EventLoop

T = TypeVar("T")


class BackgroundTasks:
    """One daemon thread that runs calls in order; each result is delivered in the event loop."""

    def __init__(self, loop: EventLoop) -> None:
        self._queue: deque[Callable[[], None]] = deque()
        self._results: deque[Callable[[], None]] = deque()
        self._more = threading.Semaphore(0)
        self._thread: threading.Thread | None = None
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        loop.watch(self._read, self._deliver)

    def run(self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        """Queue `work` (it must not raise) for the thread; the loop then calls `then` with its result."""

        def both() -> None:
            """Run the work in the thread and queue its result for the loop."""
            result = work()
            self._results.append(lambda: then(result))

        self._queue.append(both)
        if self._thread is None:  # a daemon, so that exiting does not wait for a disk
            self._start()
        self._more.release()

    def _start(self) -> None:
        """Start the daemon thread; where no more may run, the work waits for the next call of `run`."""
        thread = threading.Thread(target=self._work, daemon=True)
        with suppress(RuntimeError):
            thread.start()
            self._thread = thread

    def _work(self) -> None:
        """Run queued calls for as long as the process lives."""
        while True:
            self._more.acquire()
            self._queue.popleft()()
            os.write(self._write, b"x")

    def _deliver(self) -> None:
        """Call `then` with each finished result, in the event loop."""
        os.read(self._read, 4096)
        while self._results:
            self._results.popleft()()
