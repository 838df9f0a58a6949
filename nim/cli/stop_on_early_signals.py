"""Stop signals that arrive before anything has been started."""

import signal
from types import FrameType


class StoppedEarly(BaseException):
    """Raised by a stop signal before anything was started."""


def stop_early() -> None:
    """Make SIGTERM and SIGINT raise StoppedEarly in this process until PID 1 takes over."""
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def _stop(number: int, _: FrameType | None) -> None:
    """Raise StoppedEarly with the signal's name (a signal handler)."""
    raise StoppedEarly(f"stopped by {signal.Signals(number).name} before anything was started, exit code 0")
