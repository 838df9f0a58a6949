"""Stop signals that arrive before anything has been started."""

import signal
from types import FrameType


class StoppedEarly(BaseException):
    """Raised by a stop signal before anything was started."""


def stop_early() -> None:
    """Turn SIGTERM and SIGINT into the exception StoppedEarly until PID 1 takes over."""
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def _stop(number: int, _: FrameType | None) -> None:
    """Raise StoppedEarly."""
    raise StoppedEarly(f"stopped by {signal.Signals(number).name} before anything was started, exit code 0")
