"""A signal to stop that comes while it is still being decided what to start."""

import signal
from types import FrameType


class StoppedEarly(BaseException):
    """Nothing has been started yet, so nothing has to be ended."""


def stop_early() -> None:
    """From now on, until PID 1 takes over, a signal to stop is an end like any other, and is said."""
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def _stop(number: int, _: FrameType | None) -> None:
    raise StoppedEarly(f"stopped by {signal.Signals(number).name} before anything was started, exit code 0")
