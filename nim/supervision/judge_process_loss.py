"""Decide what the loss of one of the engine's processes means: it ends, is killed, or works on without it."""

from collections.abc import Callable

from nim.cleanup.read_and_watch_processes import Process
from nim.event_loop import EventLoop, Steps, Task
from nim.frozen_dataclass import frozen_dataclass
from nim.health.engine_process_watcher import EngineProcesses
from nim.health.http_request import Address, HttpRequest
from nim.health.readiness_poller import ask_health
from nim.logging.log_line_parsers import Record

# vLLM's API server exits 1 to 6 seconds after its core or a worker, later during a start. Then it is killed.
PROCESS_LOST_SECONDS, PROCESS_LOST_WHILE_STARTING_SECONDS = 8.0, 30.0


@frozen_dataclass
class LossCallbacks:
    """Callbacks of the judge. `was_ready`: the engine had been ready when a process of it ended.

    `doubted`: a process of a ready engine has ended, in words. `works_on`: the engine is healthy without it.
    `kill`: the engine is not, or was not ready yet, and does not end by itself.
    """

    say: Callable[[str, str], None]
    was_ready: Callable[[], bool]
    doubted: Callable[[str], None]
    works_on: Callable[[], None]
    kill: Callable[[], None]


class ProcessLossJudge:
    """Watches the engine's processes. `lost_process` and `lost_at` of the one judged stay for the report."""

    def __init__(self, loop: EventLoop, address: Address, callbacks: LossCallbacks) -> None:
        self._loop, self._address, self._callbacks = loop, address, callbacks
        self._processes = EngineProcesses(loop, self._on_lost)
        self._task: Task | None = None
        self._health_check: HttpRequest | None = None
        self.begin()

    def begin(self) -> None:
        """Reset what is known of a lost process, for a new start of the engine."""
        self.lost_process: str | None = None
        self.lost_at: float | None = None

    def watch_all(self, engine: Process) -> None:
        """Watch all present processes of the engine."""
        self._processes.watch_all(engine)

    def meet(self, record: Record, engine: Process) -> None:
        """Watch the engine's process that logged this record."""
        self._processes.meet(record, engine)

    @property
    def is_judging(self) -> bool:
        """Return whether it is not decided yet what the loss of a process means."""
        return bool(self._task or self._health_check)

    def end(self) -> None:
        """Stop watching, and decide nothing any more; `lost_process` and `lost_at` stay."""
        self._processes.forget()
        for pending in (self._task, self._health_check):
            if pending:
                pending.cancel()
        self._task = self._health_check = None

    def _on_lost(self, process: Process) -> None:
        """Report that a process of the engine ended; schedule whether to kill the engine."""
        if self._task:
            return
        name = f"{process.name} (pid {process.pid})"
        words = f"{name}, a process of the engine, has ended"
        self._callbacks.say("WARNING", words)
        self.lost_process, self.lost_at = name, self._loop.now()
        if self._callbacks.was_ready():
            self._callbacks.doubted(words)
        self._task = Task(self._loop, self._decide())

    def _decide(self) -> Steps:
        """Wait for the engine to exit by itself; then kill it, or first ask /health if it had been ready."""
        ready = self._callbacks.was_ready
        yield PROCESS_LOST_SECONDS if ready() else PROCESS_LOST_WHILE_STARTING_SECONDS
        self._task = None
        if ready():
            self._health_check = ask_health(self._loop, self._address, self._on_health_answer)
        else:
            self._callbacks.kill()

    def _on_health_answer(self, well: bool) -> None:
        """Continue without the lost process if the engine is healthy; else kill the engine."""
        self._health_check = None
        if well:
            self.begin()
            self._callbacks.say("INFO", "the engine works on without it")
            self._callbacks.works_on()
        else:
            self._callbacks.kill()
