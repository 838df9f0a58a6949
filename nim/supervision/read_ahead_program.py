"""Run the program that reads weights ahead of the engine, and report what it read."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from signal import SIGTERM

from nim.event_loop import EventLoop, Timer
from nim.failures.program_exit import ProgramExit
from nim.fetch.format_size import format_size
from nim.frozen_dataclass import frozen_dataclass
from nim.plan import READ_AHEAD_FILE, ReadAhead
from nim.supervision.supervisord.supervised_program import Program

LATEST_START_SECONDS = 15.0


@frozen_dataclass
class ReadResult:
    """What was read from disk in `seconds`, and what was in the page cache before."""

    read_bytes: int
    cached_bytes: int
    seconds: float

    @property
    def text(self) -> str:
        """Return the result in words."""
        if not self.read_bytes:
            return "weights were in memory already"
        cached = f", {format_size(self.cached_bytes)} were in memory already" if self.cached_bytes else ""
        return f"weights read ahead: {format_size(self.read_bytes)} in {self.seconds:.1f} s{cached}"


class ReadAheadProgram:
    """Runs in each start of the engine until that has its weights. Without a ReadAhead it does nothing.

    It begins with the engine's first log line: until then the engine reads its libraries from the same disk,
    and would wait for them longer than it gains later (10 s were measured).
    """

    def __init__(
        self,
        read_ahead: ReadAhead | None,
        run_dir: Path,
        loop: EventLoop,
        program: Program,
        say: Callable[[str, str], None],
    ) -> None:
        self._read_ahead, self._loop, self._say = read_ahead, loop, say
        self._file = run_dir / READ_AHEAD_FILE
        self._due: Timer | None = None
        self.program = program
        self.result: ReadResult | None = None
        program.on_exit = self._on_exit

    def prepare(self) -> None:
        """Wait for `start`, for 15 s at most: an engine may log nothing."""
        self._cancel()
        self.result = None
        if self._read_ahead:
            self._due = self._loop.after(LATEST_START_SECONDS, self.start)

    def start(self) -> None:
        """Start reading, once after each `prepare`, unless the last one still runs."""
        if self._due:
            self._cancel()
            if not self.program.alive:
                self._file.unlink(missing_ok=True)
                self.program.start()

    def stop(self) -> None:
        """Have it end soon, or not begin: the engine has its weights, or has ended."""
        self._cancel()
        self.program.signal(SIGTERM)

    def _cancel(self) -> None:
        if self._due:
            self._due.cancel()
            self._due = None

    def _on_exit(self, end: ProgramExit) -> None:
        """Keep the result; at DEBUG, log an end without one, which only costs the engine time."""
        with suppress(OSError, ValueError, TypeError):
            self.result = ReadResult(**json.loads(self._file.read_text(encoding="utf-8")))
        text = self.result.text if self.result else f"reading weights ahead ended without a result ({end})"
        self._say("DEBUG", text)
