"""End supervisord when the service ends."""

import os
import signal
from collections.abc import Callable

from nim.event_loop import EventLoop, Steps, until
from nim.supervision.supervisord.rpc_client import Supervisor, SupervisorError

STOP_SECONDS = 2.0


def end_supervisord(loop: EventLoop, supervisor: Supervisor, pid: int, lives: Callable[[], bool]) -> Steps:
    """Ask supervisord to shut down, or send SIGTERM; after two seconds send SIGKILL (a generator)."""
    if lives():
        try:
            supervisor.shut_down()
        except SupervisorError:  # its socket may not exist yet
            os.kill(pid, signal.SIGTERM)
        yield from until(loop, lambda: not lives(), STOP_SECONDS)
    if lives():
        os.kill(pid, signal.SIGKILL)
        yield from until(loop, lambda: not lives(), STOP_SECONDS)
