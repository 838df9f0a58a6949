"""CPU time of other processes, including threads that have ended."""

import time
from collections.abc import Iterable

BUSY_SHARE = 0.2
LOOK_SECONDS = 0.05


def clock_of(pid: int) -> int:
    """Return the number of a process's clock, as clock_getcpuclockid makes it."""
    return (~pid << 3) | 2


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return what they have used so far."""
    return sum(time.clock_gettime(clock_of(pid)) for pid in pids)


def settle(pids: Iterable[int], limit: float = 20.0) -> bool:
    """Wait until they rest, so that one measure's backlog is not counted in the next; whether they do."""
    pids = tuple(pids)
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        used, began_at = cpu_seconds(pids), time.monotonic()
        time.sleep(LOOK_SECONDS)
        if cpu_seconds(pids) - used < BUSY_SHARE * (time.monotonic() - began_at):
            return True
    return False
