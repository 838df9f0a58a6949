"""Restart nginx or the middleware whenever it ends unexpectedly."""

from collections.abc import Callable
from pathlib import Path
from signal import SIGKILL

from nim.cleanup.read_and_watch_processes import Process, group_lives
from nim.event_loop import EventLoop, Steps, Task, until
from nim.failures.program_exit import ProgramExit
from nim.supervision.restart_policy import RestartCounter, RestartPolicy
from nim.supervision.supervisord.supervised_program import Program

# Killed processes end within milliseconds; the end of those that are not our children has to be polled.
POLL_SECONDS = 0.02
GROUP_GONE_SECONDS = 5.0
STRAYS_GONE_SECONDS = 30.0
# How long Python's resource tracker may take to remove the shared memory of a dead engine.
CLEANUP_SECONDS = 5.0


class Restarter:
    """Restarts one program. `leftovers` are files that would prevent its start; `give_up` gets its exit."""

    def __init__(
        self,
        program: Program,
        loop: EventLoop,
        policy: RestartPolicy,
        say: Callable[[str, str], None],
        *,
        leftovers: tuple[Path, ...],
        consequence: Callable[[], str],
        give_up: Callable[[ProgramExit], None],
    ) -> None:
        self.program = program
        self._loop, self._say, self._restarts = loop, say, RestartCounter(policy)
        self._leftovers, self._consequence, self._give_up = leftovers, consequence, give_up
        self._restart_task: Task | None = None
        program.on_exit = self._on_exit

    def expect_exit(self) -> None:
        """Treat the program's next exit as intended: do not restart it, and cancel a pending restart."""
        self.program.on_exit = lambda _: None
        if self._restart_task:
            self._restart_task.cancel()

    def _on_exit(self, end: ProgramExit) -> None:
        """Log the loss and schedule a restart; after too many consecutive losses call `give_up` instead."""
        delay = self._restarts.lost(self._loop.now() - self.program.started_at)
        lost = f"{self.program.name} lost ({end})"
        if delay is None:
            self._say("CRITICAL", f"{lost}, the {self._restarts.in_a_row}th time in a row")
            self._give_up(end)
            return
        when = f"again in {delay:g} s" if delay else "again at once"
        self._say("ERROR", f"{lost}{self._consequence()}; it is started {when}")
        self._restart_task = Task(self._loop, self._restart(delay))

    def _restart(self, delay: float) -> Steps:
        """Kill the old process group, wait `delay` seconds, remove leftover files, start the program."""
        yield from clear_group(self._loop, self.program)
        yield from until(self._loop, lambda: False, delay)
        for path in self._leftovers:
            path.unlink(missing_ok=True)
        self.program.start()


def clear_group(loop: EventLoop, program: Program) -> Steps:
    """Send SIGKILL to the program's process group and wait until it is gone, at most 5 s (a generator)."""
    program.signal(SIGKILL)
    deadline = loop.now() + GROUP_GONE_SECONDS
    while program.group is not None and group_lives(program.group) and loop.now() < deadline:
        yield POLL_SECONDS
    program.group = None


def clear_strays(loop: EventLoop, strays: Callable[[], tuple[Process, ...]]) -> Steps:
    """Send SIGKILL to the processes of `strays()` until there are none, for at most 30 s (a generator)."""
    began = loop.now()
    while (left := strays()) and loop.now() < began + STRAYS_GONE_SECONDS:
        for process in left:
            if loop.now() > began + CLEANUP_SECONDS or not process.tidies_up:
                process.send(SIGKILL)
        yield POLL_SECONDS
