"""Keeps a program of the gateway running: whenever it ends unasked, it is started again, alone."""

from collections.abc import Callable
from pathlib import Path
from signal import SIGKILL

from nim.cleanup.process_table import group_lives
from nim.event_loop import EventLoop, Steps, Task, until
from nim.failures.exit import Exit
from nim.supervision.program import Program
from nim.supervision.restart_policy import RestartCounter, RestartPolicy

# The killed are gone in milliseconds, but of those that are not our children nobody tells us.
LOOK_SECONDS = 0.02
GROUP_GONE_SECONDS = 5.0


class Restarter:
    """`leftovers` are the files that its sudden death leaves in the way. `give_up` gets how it ended."""

    def __init__(
        self,
        program: Program,
        loop: EventLoop,
        policy: RestartPolicy,
        say: Callable[[str, str], None],
        *,
        leftovers: tuple[Path, ...],
        consequence: Callable[[], str],
        give_up: Callable[[Exit], None],
    ) -> None:
        self.program = program
        self._loop, self._say, self._restarts = loop, say, RestartCounter(policy)
        self._leftovers, self._consequence, self._give_up = leftovers, consequence, give_up
        self._revival: Task | None = None
        program.on_exit = self._ended

    def expect_exit(self) -> None:
        """From now on its end is wanted."""
        self.program.on_exit = lambda _: None
        if self._revival:
            self._revival.cancel()

    def _ended(self, end: Exit) -> None:
        delay = self._restarts.lost(self._loop.now() - self.program.started_at)
        lost = f"{self.program.name} lost ({end})"
        if delay is None:
            self._say("CRITICAL", f"{lost}, the {self._restarts.in_a_row}th time in a row")
            self._give_up(end)
            return
        when = f"again in {delay:g} s" if delay else "again at once"
        self._say("ERROR", f"{lost}{self._consequence()}; it is started {when}")
        self._revival = Task(self._loop, self._revive(delay))

    def _revive(self, delay: float) -> Steps:
        """Its processes first: what is left of them holds the port."""
        yield from clear_group(self._loop, self.program)
        yield from until(self._loop, lambda: False, delay)
        for path in self._leftovers:
            path.unlink(missing_ok=True)
        self.program.start()


def clear_group(loop: EventLoop, program: Program) -> Steps:
    """Kill what is left of a program's process group and wait until it is gone."""
    program.signal(SIGKILL)
    deadline = loop.now() + GROUP_GONE_SECONDS
    while program.group is not None and group_lives(program.group) and loop.now() < deadline:
        yield LOOK_SECONDS
    program.group = None
