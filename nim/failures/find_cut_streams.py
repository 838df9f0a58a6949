"""Find streams that were cut, from nginx's access log and, if the engine broke off, its error log."""

import json
import re
from collections import deque
from collections.abc import Callable

from nim.event_loop import EventLoop
from nim.frozen_dataclass import frozen_dataclass

# This many are logged one by one; all of them are in the access log.
LOGGED = 20
# nginx writes its log within 0.25 s. Requests that ended long before a loss are unrelated to it.
SETTLED_SECONDS, KEPT_SECONDS, KEPT = 1.0, 10.0, 4_000

# Both are caused by the client: an incomplete request, or a client that left before the headers. During
# a shutdown, nginx also logs 499 for requests that it cuts this early itself.
NEVER_ASKED, LEFT = 408, 499

_LINE = re.compile(
    r"gateway\] (-|\S+ \S+) (\d+) \d+ bytes ([\d.]+) s \(.* connection=(\d+) request_id=(\S+)( incomplete)?$"
)
# After the response headers; before them, the client gets 502.
_BROKEN_OFF = re.compile(r"\*(\d+) (?:upstream prematurely closed|recv\(\) failed).* while reading upstream")


@frozen_dataclass
class Request:
    """One finished request from the access log."""

    what: str
    status: int
    seconds: float
    connection: str
    request_id: str
    complete: bool

    def __str__(self) -> str:
        return f"{self.what}, open for {self.seconds:.3f} s, request_id={self.request_id}"


class CutStreams:
    """Collects lines of both logs from the last seconds and logs the streams that were cut."""

    def __init__(self, loop: EventLoop, say: Callable[[str, str], None]) -> None:
        self._loop, self._say = loop, say
        self._lines: deque[tuple[float, str]] = deque(maxlen=KEPT)
        self._broken_off: deque[tuple[float, str]] = deque(maxlen=KEPT)

    def read(self, line: str) -> None:
        """Keep a line of nginx's access log for the report of cut streams."""
        self._keep(self._lines, line)

    def read_error(self, message: str) -> None:
        """Keep the connection number in an nginx error about an upstream that broke off; else do nothing."""
        if match := _BROKEN_OFF.search(message):
            self._keep(self._broken_off, match[1])

    def log_cut_streams_soon(self, why: str, since: float) -> None:
        """Log the streams cut since `since`, one second from now, except those that clients closed."""

        def log_settled() -> None:
            """Log the cut streams that nginx has logged by now, except those that clients closed."""
            self._log_each(why, [request for request in self._take(since) if request.status != LEFT])

        self._loop.after(SETTLED_SECONDS, log_settled)

    def log_cut_streams(self, why: str, since: float) -> int:
        """Log each stream cut since the time `since`, once; return their number."""
        cut = self._take(since)
        self._log_each(why, cut)
        return len(cut)

    def forget(self) -> None:
        """Drop all lines of access and error log kept so far."""
        self._lines.clear()
        self._broken_off.clear()

    def _keep(self, lately: deque[tuple[float, str]], text: str) -> None:
        """Append `text` with the present time to `lately`, and drop entries older than 10 s."""
        now = self._loop.now()
        while lately and lately[0][0] < now - KEPT_SECONDS:
            lately.popleft()
        lately.append((now, text))

    def _take(self, since: float) -> list[Request]:
        """Remove the lines since `since`; return the requests among them that were cut, as a list."""
        broken_off = {connection for _, connection in self._broken_off}
        requests = [_read(line) for at, line in self._lines if at >= since]
        self._lines = deque((kept for kept in self._lines if kept[0] < since), maxlen=KEPT)
        asked = [r for r in requests if r and r.status != NEVER_ASKED]
        return [r for r in asked if not r.complete or r.connection in broken_off]

    def _log_each(self, why: str, cut: list[Request]) -> None:
        """Log the first 20 cut streams one by one, and the number of the others."""
        for request in cut[:LOGGED]:
            self._say("WARNING", f"stream cut ({why}): {request}")
        if len(cut) > LOGGED:
            self._say("WARNING", f"streams cut ({why}): and {len(cut) - LOGGED} more, all in the access log")


def _read(line: str) -> Request | None:
    """Return the Request in a line of the access log, text or JSON; None for other lines."""
    if match := _LINE.search(line):
        return Request(
            what=match[1],
            status=int(match[2]),
            seconds=float(match[3]),
            connection=match[4],
            request_id=match[5],
            complete=match[6] is None,
        )
    try:
        record = json.loads(line)
        return Request(
            what=record["message"],
            status=record["status"],
            seconds=record["seconds"],
            connection=str(record["connection"]),
            request_id=record["request_id"],
            complete=record["complete"],
        )
    except (ValueError, KeyError, TypeError):
        return None
