"""One thread and one selector: descriptors, timers and signals call back from here; nothing else waits."""

import heapq
import os
import selectors
import signal
import time
from collections.abc import Callable, Generator, Iterable
from itertools import count

Steps = Generator[float, None, None]

# SIGUSR1 is `nim drain`; each but SIGCHLD asks for the same stop.
HANDLED_SIGNALS = (
    signal.SIGCHLD,
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
)


class Timer:
    """Something that will be called once, unless it is cancelled."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Never call."""
        self.callback = None


class EventLoop:
    """Runs until `stop`. `now` is in seconds and only ever goes forward."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = count()
        self._over = False

    def watch(self, fd: int, callback: Callable[[], object], *, writable: bool = False) -> None:
        """Call whenever the descriptor can be read, or written, without waiting."""
        self._selector.register(fd, selectors.EVENT_WRITE if writable else selectors.EVENT_READ, callback)

    def unwatch(self, fd: int) -> None:
        """Forget the descriptor, before it is closed."""
        self._selector.unregister(fd)

    def after(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call once, after so long."""
        timer = Timer(callback)
        heapq.heappush(self._timers, (self.now() + seconds, next(self._numbers), timer))
        return timer

    def on_signals(self, numbers: Iterable[int], callback: Callable[[int], None]) -> None:
        """Call for each of these signals, from the loop; those that were blocked until now arrive too.

        One that whoever started us had ignored, as nohup does, stays ignored.
        """
        read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number in numbers:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda *_: None)

        def deliver() -> None:
            for number in os.read(read, 4096):
                callback(number)

        self.watch(read, deliver)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])

    def run(self) -> None:
        """Until `stop`."""
        while not self._over:
            self.turn()

    def turn(self) -> None:
        """Wait for the next thing to do and do it."""
        for key, _ in self._selector.select(self._patience()):
            if self._selector.get_map().get(key.fd) is key:  # else an earlier call of this turn let go of it
                key.data()
        while self._timers and self._timers[0][0] <= self.now():
            timer = heapq.heappop(self._timers)[2]
            if timer.callback:
                timer.callback()

    def stop(self) -> None:
        """Return from `run` after this turn."""
        self._over = True

    def _patience(self) -> float | None:
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        return max(self._timers[0][0] - self.now(), 0) if self._timers else None


class Task:
    """A sequence of waits, written as a generator that yields for how many seconds it wants to sleep."""

    def __init__(self, loop: EventLoop, steps: Steps) -> None:
        self._loop, self._steps = loop, steps
        self._timer: Timer | None = loop.after(0, self._go)

    def wake(self) -> None:
        """Something happened: look now instead of when the sleep is over."""
        if self._timer:
            self._timer.cancel()
            self._timer = self._loop.after(0, self._go)

    def cancel(self) -> None:
        """Go no further."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _go(self) -> None:
        seconds = next(self._steps, None)
        self._timer = None if seconds is None else self._loop.after(seconds, self._go)


def until(loop: EventLoop, true: Callable[[], bool], seconds: float) -> Generator[float, None, bool]:
    """Sleep until it is true, which is looked at after each poke, but no longer than this; whether it is."""
    deadline = loop.now() + seconds
    while not true():
        if (left := deadline - loop.now()) <= 0:
            return False
        yield left
    return True
