"""Write the first records of a kind in full, and of the others how many there were."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from nim.event_loop import EventLoop
from nim.log_format import severity
from nim.logging.log_line_parsers import Record

# Enough to see what happens; a client that is told no can have nginx write thousands of lines a second.
WRITTEN, WINDOW_SECONDS = 20, 10.0
# Messages differ in more than numbers only if a client has made them differ: such kinds are counted together.
KINDS, KIND_CHARACTERS = 64, 120

# Process and connection numbers; then what nginx adds about the request.
_NUMBERS = re.compile(r"\d+")
_ABOUT_THE_REQUEST = ", client: "


@dataclass(slots=True)
class _Seen:
    """How often a kind was seen in this window, and the last record that was not written."""

    count: int = 0
    last: Record | None = None


class RepeatedRecords:
    """Passes records to `write`: 20 of a kind in ten seconds, and one that has the number of the others."""

    def __init__(
        self, loop: EventLoop, write: Callable[[Record], None], sum_up: Callable[[Record], None] | None = None
    ) -> None:
        """`sum_up` writes the records with numbers of others; without it, `write` does."""
        self._loop, self._write, self._sum_up = loop, write, sum_up or write
        self._seen: dict[str, _Seen] = {}

    def record(self, record: Record) -> None:
        """Write the record, or only count it if 20 of its kind were written in this window."""
        if not self._seen:
            self._loop.after(WINDOW_SECONDS, self.flush)
        seen = self._of_kind(kind_of(record))
        seen.count += 1
        if seen.count <= WRITTEN:
            self._write(record)
        elif seen.last is None or severity(record.level) >= severity(seen.last.level):
            seen.last = record

    def flush(self) -> None:
        """Write, for each kind, the number of records that were only counted; begin to count anew."""
        found, self._seen = self._seen, {}
        for seen in found.values():
            if seen.last:
                message = f"{seen.count - WRITTEN} more lines of this kind, the last: {seen.last.message}"
                self._sum_up(Record(level=seen.last.level, message=message))

    def _of_kind(self, kind: str) -> _Seen:
        """Return what was seen of a kind; above 64 kinds, of all others together."""
        if kind not in self._seen and len(self._seen) >= KINDS:
            kind = ""
        return self._seen.setdefault(kind, _Seen())


def kind_of(record: Record) -> str:
    """Return the text that records of one kind share: without numbers, and without the request."""
    text, _, _ = record.message[: 4 * KIND_CHARACTERS].partition(_ABOUT_THE_REQUEST)
    return f"{record.level} {_NUMBERS.sub('#', text)[:KIND_CHARACTERS]}"
