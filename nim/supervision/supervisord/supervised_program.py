"""One program under supervisord: start, stop, signal, and a callback as soon as it ends."""

from collections.abc import Callable

from nim.cleanup.read_and_watch_processes import Process, Watch, group_lives, read_process, send_group
from nim.event_loop import EventLoop
from nim.failures.program_exit import ProgramExit
from nim.supervision.supervisord.rpc_client import Supervisor, SupervisorError


class Program:
    """A supervised program. The loop calls `on_exit` whenever it ends, requested or not."""

    def __init__(
        self, name: str, loop: EventLoop, supervisor: Supervisor, say: Callable[[str, str], None]
    ) -> None:
        self.name = name
        self.process: Process | None = None
        self.group: int | None = None
        self.started_at = 0.0
        self.on_exit: Callable[[ProgramExit], None] = lambda _: None
        self._loop, self._supervisor, self._say = loop, supervisor, say

    @property
    def alive(self) -> bool:
        """Return whether the program was started and has not ended."""
        return self.process is not None

    def start(self) -> None:
        """Start the program through supervisord and watch its process; `on_exit` gets a failure to start."""
        self.started_at = self._loop.now()
        try:
            pid = self._supervisor.start(self.name)
        except SupervisorError as error:
            self._say("ERROR", str(error))
            end = ProgramExit(why=str(error))
            self._loop.after(0, lambda: self.on_exit(end))
            return
        self.process = read_process(pid) if pid else None
        if self.process is None:
            self._loop.after(0, self._ended)
            return
        self.group = self.process.pid
        Watch(self._loop, self.process, self._ended)

    def stop(self) -> None:
        """Have supervisord send the program its stop signal, without waiting; nothing if it does not run."""
        if self.process is None:
            return
        try:
            self._supervisor.stop(self.name)
        except SupervisorError as error:
            self._say("WARNING", str(error))

    def signal(self, number: int) -> None:
        """Send a signal to the program's process group, which can outlive it; nothing if there is none."""
        if self.group is not None:
            send_group(self.group, number)

    def _ended(self) -> None:
        """Ask supervisord how the program ended, forget its process, call `on_exit` with a ProgramExit."""
        try:
            end = self._supervisor.end_of(self.name)
        except SupervisorError as error:
            self._say("DEBUG", str(error))
            end = ProgramExit()
        self.process = None
        if self.group is not None and not group_lives(self.group):
            self.group = None
        self.on_exit(end)
