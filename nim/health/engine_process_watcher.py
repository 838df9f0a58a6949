"""Watch the engine's processes: its API server can outlive those that compute."""

import re
from collections.abc import Callable

from nim.cleanup.read_and_watch_processes import Process, Watch, all_processes, below
from nim.event_loop import EventLoop
from nim.logging.log_line_parsers import Record

# vLLM prefixes log lines with the name and pid of the process.
_SPEAKER = re.compile(r"\((?:EngineCore|Worker)\S* pid=(\d+)\)")


class EngineProcesses:
    """Watches all descendants of one process and calls `lost` with each that ends."""

    def __init__(self, loop: EventLoop, lost: Callable[[Process], None]) -> None:
        self._loop, self._lost = loop, lost
        self._watched: dict[int, Watch] = {}

    def watch_all(self, top: Process) -> None:
        """Watch all present descendants of process `top`; `lost` is called with each that ends."""
        for process in below(top.pid, all_processes()):
            self._watch(process)

    def meet(self, record: Record, top: Process) -> None:
        """Watch the engine's process that logged this record, by the pid in it; nothing if it has none."""
        match = _SPEAKER.match(record.message)
        if match and int(match[1]) not in self._watched:
            for process in below(top.pid, all_processes()):
                if process.pid == int(match[1]):
                    self._watch(process)

    def forget(self) -> None:
        """Stop watching all processes; `lost` is not called."""
        for watch in self._watched.values():
            watch.close()
        self._watched.clear()

    def _watch(self, process: Process) -> None:
        """Watch one process, unless it is watched already."""
        if process.pid not in self._watched:
            self._watched[process.pid] = Watch(self._loop, process, lambda: self._ended(process))

    def _ended(self, process: Process) -> None:
        """Forget an ended process and call `lost` with it."""
        del self._watched[process.pid]
        self._lost(process)
