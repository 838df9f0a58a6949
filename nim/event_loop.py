"""A single-threaded event loop over `selectors`: file descriptors, timers and signals call back from it."""

import heapq
import os
import selectors
import signal
import time
from collections.abc import Callable, Generator, Iterable
from itertools import count

Steps = Generator[float, None, None]

# SIGUSR1 is sent by `nim drain`. Every signal except SIGCHLD starts the same shutdown.
HANDLED_SIGNALS = (
    signal.SIGCHLD,
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
)


class Timer:
    """A callback that runs once at its due time unless it is cancelled."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Prevent the timer's callback from running."""
        self.callback = None


class EventLoop:
    """The loop itself. `now` returns monotonic seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = count()
        self._over = False

    def watch(self, fd: int, callback: Callable[[], object], *, writable: bool = False) -> None:
        """Run `callback` whenever `fd` is readable, or writable with `writable`."""
        self._selector.register(fd, selectors.EVENT_WRITE if writable else selectors.EVENT_READ, callback)

    def unwatch(self, fd: int) -> None:
        """Stop watching `fd` in the loop; it stays open. Call this before closing it."""
        self._selector.unregister(fd)

    def after(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Run `callback` once, `seconds` from now; return the Timer, which can be cancelled."""
        timer = Timer(callback)
        heapq.heappush(self._timers, (self.now() + seconds, next(self._numbers), timer))
        return timer

    def on_signals(self, numbers: Iterable[int], callback: Callable[[int], None]) -> None:
        """Run `callback` with the number of each of these signals, including signals blocked until now.

        A signal that was ignored when this process started (nohup does that) stays ignored.
        """
        read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number in numbers:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda *_: None)

        def deliver() -> None:
            """Read the pending signal numbers and run the callback for each."""
            for number in os.read(read, 4096):
                callback(number)

        self.watch(read, deliver)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])

    def run(self) -> None:
        """Run callbacks until `stop` is called."""
        while not self._over:
            self.turn()

    def turn(self) -> None:
        """Wait for the next event and run its callbacks."""
        for key, _ in self._selector.select(self._timeout()):
            if self._selector.get_map().get(key.fd) is key:  # else unwatched by a callback of this turn
                key.data()
        while self._timers and self._timers[0][0] <= self.now():
            timer = heapq.heappop(self._timers)[2]
            if timer.callback:
                timer.callback()

    def stop(self) -> None:
        """Make `run` return after this turn."""
        self._over = True

    def _timeout(self) -> float | None:
        """Return the seconds until the next timer is due; None without timers."""
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        return max(self._timers[0][0] - self.now(), 0) if self._timers else None


class Task:
    """A generator run by the loop: each value it yields is a number of seconds to sleep."""

    def __init__(self, loop: EventLoop, steps: Steps) -> None:
        self._loop, self._steps = loop, steps
        self._timer: Timer | None = loop.after(0, self._go)

    def wake(self) -> None:
        """End the task's current sleep and continue it at once; nothing if it has ended."""
        if self._timer:
            self._timer.cancel()
            self._timer = self._loop.after(0, self._go)

    def cancel(self) -> None:
        """Stop the task: its generator is never continued."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _go(self) -> None:
        """Run the generator to its next sleep and schedule its continuation."""
        seconds = next(self._steps, None)
        self._timer = None if seconds is None else self._loop.after(seconds, self._go)


def until(loop: EventLoop, true: Callable[[], bool], seconds: float) -> Generator[float, None, bool]:
    """Sleep until `true()` holds or `seconds` have passed (a generator); return whether it holds."""
    deadline = loop.now() + seconds
    while not true():
        if (left := deadline - loop.now()) <= 0:
            return False
        yield left
    return True
