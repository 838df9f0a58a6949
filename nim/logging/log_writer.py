"""Write log records of this process and of all programs to stderr, masked, one line each."""

import json
import time
from collections.abc import Sequence

from nim.event_loop import EventLoop
from nim.log_format import Form, escape_in_json
from nim.logging.log_line_parsers import Record, read_access
from nim.logging.stderr_queue import StderrQueue
from nim.redact import MASK, without

OURS = "nim"


class LogWriter:
    """Writes records to a file descriptor and masks `secrets` in them."""

    def __init__(self, form: Form, fd: int, loop: EventLoop, secrets: Sequence[str]) -> None:
        self._form, self._secrets = form, secrets
        self._secrets_as_nginx_writes = [text for secret in secrets for text in _as_nginx_writes(secret)]
        self._sink = StderrQueue(fd, loop, self._dropped)

    def say(self, level: str, message: str) -> None:
        """Log a record of this process."""
        self.record(OURS, Record(level=level, message=message))

    def record(self, component: str, record: Record, **more: str | Sequence[str]) -> None:
        """Write a program's record if its level is wanted. Masked before formatting: JSON escapes it."""
        if self._form.wants(record.level):
            more = {name: self._masked(value) for name, value in more.items()}
            line = self._form.line(record.level, component, self.mask(record.message), at=time.time(), **more)
            self._sink.put(line, always=record.level == "CRITICAL" and component == OURS)

    def access(self, line: str) -> str:
        """Write a line that nginx has already formatted, masked; returns it."""
        masked = escape_in_json(line) if self._form.as_json else line
        for secret in self._secrets_as_nginx_writes:
            masked = masked.replace(secret, MASK)
        if self._form.wants(read_access(line).level):
            self._sink.put(masked + "\n")
        return masked

    def block(self, text: str, record: Record, **more: str | Sequence[str]) -> None:
        """Write several lines below a record's head for a person, or one JSON record."""
        if self._form.as_json:
            self.record(OURS, record, **more)
        elif self._form.wants(record.level):
            first, _, rest = self.mask(text).partition("\n")
            line = self._form.line(record.level, OURS, first, at=time.time())
            self._sink.put(line + rest, always=record.level == "CRITICAL")

    def mask(self, text: str) -> str:
        """Return the text with secrets masked."""
        return without(self._secrets, text)

    def _masked(self, value: str | Sequence[str]) -> str | Sequence[str]:
        """Return a JSON value with secrets masked."""
        return self.mask(value) if isinstance(value, str) else [self.mask(text) for text in value]

    def close(self, seconds: float) -> None:
        """Flush for at most `seconds` if the reader is slow."""
        self._sink.close(seconds)

    def _dropped(self, count: int) -> str:
        """Log how many lines were dropped."""
        message = f"dropped {count} records: the reader of stderr is too slow"
        return self._form.line("WARNING", OURS, message, at=time.time())


def _as_nginx_writes(secret: str) -> tuple[str, ...]:
    """Return a secret as written, as in JSON, and line by line."""
    plain = secret.replace("\\", "\\x5C").replace('"', "\\x22")
    return secret, json.dumps(secret, ensure_ascii=False)[1:-1], plain
