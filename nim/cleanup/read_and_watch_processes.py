"""Read the kernel's process table, and call back as soon as a process ends."""

import os
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path

from nim.event_loop import EventLoop, Timer
from nim.frozen_dataclass import frozen_dataclass

# The kernel truncates names to this length; the command line may have the full name.
NAME_CHARACTERS = 15
TRACKER = b"multiprocessing.resource_tracker"
# Polling interval where pidfd_open is missing or forbidden.
SCAN_INTERVAL_SECONDS = 0.2


@frozen_dataclass
class Process:
    """One process. `started` (clock ticks since boot) distinguishes it from a later one with the same pid."""

    pid: int
    parent: int
    group: int
    started: int
    state: str
    name: str

    @property
    def alive(self) -> bool:
        """Return whether this process still runs: not gone, not a zombie, not another with its pid."""
        now = read_process(self.pid)
        return now is not None and now.started == self.started and now.state not in "ZX"

    @property
    def tidies_up(self) -> bool:
        """Return whether this process is Python's resource tracker, which removes shared memory."""
        with suppress(OSError):
            return TRACKER in Path(f"/proc/{self.pid}/cmdline").read_bytes()
        return False

    def send(self, number: int) -> None:
        """Send signal `number` to this process; nothing if it has ended."""
        if self.alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


def read_process(pid: int) -> Process | None:
    """Return the Process with this pid, read from /proc; None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    name, _, rest = text.partition("(")[2].rpartition(")")
    if len(name) == NAME_CHARACTERS:
        name = _whole(name, pid)
    fields = rest.split()
    return Process(
        pid=pid,
        state=fields[0],
        parent=int(fields[1]),
        group=int(fields[2]),
        started=int(fields[19]),
        name=name,
    )


def _whole(name: str, pid: int) -> str:
    """Return the full name from the command line if it extends the truncated `name`, else `name`."""
    with suppress(OSError):
        title = Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0].decode(errors="replace")
        if title.startswith(name):
            return title
    return name


def all_processes() -> dict[int, Process]:
    """Return {pid: Process} of all processes in /proc, zombies included."""
    found = (read_process(int(entry)) for entry in os.listdir("/proc") if entry.isdigit())  # noqa: PTH208 (only names are needed)
    return {process.pid: process for process in found if process}


def below(root: int, table: Mapping[int, Process]) -> tuple[Process, ...]:
    """Return a tuple of the descendants of process `root`, parents first, without `root` itself."""
    children: dict[int, list[Process]] = {}
    for process in table.values():
        children.setdefault(process.parent, []).append(process)
    found = list(children.get(root, ()))
    for process in found:
        found += children.get(process.pid, ())
    return tuple(found)


def strays(parent: int, kept: Collection[int]) -> tuple[Process, ...]:
    """Return a tuple of processes reparented to `parent` and their descendants, no zombies, not `kept`."""
    table = all_processes()
    adopted = [p for p in table.values() if p.parent == parent and p.pid not in kept]
    found = [process for root in adopted for process in (root, *below(root.pid, table))]
    return tuple(process for process in found if process.state not in "ZX")


def send_group(group: int, number: int) -> None:
    """Send signal `number` to a process group; nothing if it is gone or not permitted."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def group_lives(group: int) -> bool:
    """Return whether a process group has a member that is not a zombie."""
    return any(p.group == group and p.state not in "ZX" for p in all_processes().values())


class Watch:
    """Calls back once as soon as a process ends, whether or not it is a child of this one."""

    def __init__(self, loop: EventLoop, process: Process, callback: Callable[[], None]) -> None:
        self._loop, self._process, self._callback = loop, process, callback
        self._fd, self._timer = -1, None
        try:
            self._fd = os.pidfd_open(process.pid)
        except OSError:
            self._timer = loop.after(0, self._scan)
        else:
            loop.watch(self._fd, self._gone)

    _timer: Timer | None

    def close(self) -> None:
        """Stop watching the process; the callback will not run."""
        if self._fd >= 0:
            self._loop.unwatch(self._fd)
            os.close(self._fd)
        if self._timer:
            self._timer.cancel()
        self._fd, self._timer = -1, None

    def _scan(self) -> None:
        """Call back if the process has ended, else check again in 0.2 s; used without pidfd_open."""
        if self._process.alive:
            self._timer = self._loop.after(SCAN_INTERVAL_SECONDS, self._scan)
        else:
            self._gone()

    def _gone(self) -> None:
        """Stop watching the process and run the callback."""
        self.close()
        self._callback()
