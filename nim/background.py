"""Work that may have to wait for a disk, done beside the loop: a network file system can hang for minutes."""

import os
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from nim.event_loop import EventLoop

T = TypeVar("T")


class BackgroundTasks:
    """One thread, which does one thing after the other; what they come to is told in the loop."""

    def __init__(self, loop: EventLoop) -> None:
        self._todo: deque[Callable[[], None]] = deque()
        self._told: deque[Callable[[], None]] = deque()
        self._more = threading.Semaphore(0)
        self._thread: threading.Thread | None = None
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        loop.watch(self._read, self._deliver)

    def run(self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        """Have `work`, which does not raise, done after all before it; `then` gets its result."""

        def both() -> None:
            result = work()
            self._told.append(lambda: then(result))

        self._todo.append(both)
        if self._thread is None:  # a daemon: an exit does not wait for a disk
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()
        self._more.release()

    def _work(self) -> None:
        while True:
            self._more.acquire()
            self._todo.popleft()()
            os.write(self._write, b"x")

    def _deliver(self) -> None:
        os.read(self._read, 4096)
        while self._told:
            self._told.popleft()()
