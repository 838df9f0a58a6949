"""Write log records of this process and of all programs to stderr, masked, one line each."""

import json
import time
from collections.abc import Sequence

from nim.event_loop import EventLoop
from nim.log_format import Form, escape_in_json
from nim.logging.log_line_parsers import Record
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
        """Write a record of this process to the log."""
        self.record(OURS, Record(level=level, message=message))

    def record(self, component: str, record: Record, **more: str | Sequence[str]) -> None:
        """Write a program's Record, secrets masked, if its level is wanted; `more` are fields of JSON."""
        if self._form.wants(record.level):
            more = {name: self._masked(value) for name, value in more.items()}
            line = self._form.line(record.level, component, self.mask(record.message), at=time.time(), **more)
            self._sink.put(line, always=record.level == "CRITICAL" and component == OURS)

    def mask_access(self, line: str) -> str:
        """Return a line that nginx has formatted, with secrets masked and, in JSON, escaped as others are."""
        masked = escape_in_json(line) if self._form.as_json else line
        for secret in self._secrets_as_nginx_writes:
            masked = masked.replace(secret, MASK)
        return masked

    def access(self, record: Record) -> None:
        """Write a line that `mask_access` returned, as it is, if its level is wanted."""
        if self._form.wants(record.level):
            self._sink.put(record.message + "\n")

    def block(self, text: str, record: Record, **more: str | Sequence[str]) -> None:
        """Write a text of several lines below a record's head, or in JSON one record; secrets masked."""
        if self._form.as_json:
            self.record(OURS, record, **more)
        elif self._form.wants(record.level):
            first, _, rest = self.mask(text).partition("\n")
            line = self._form.line(record.level, OURS, first, at=time.time())
            self._sink.put(line + rest, always=record.level == "CRITICAL")

    def mask(self, text: str) -> str:
        """Return the text with the known secrets masked."""
        return without(self._secrets, text)

    def _masked(self, value: str | Sequence[str]) -> str | Sequence[str]:
        """Return a text, or a list of texts, with the known secrets masked."""
        return self.mask(value) if isinstance(value, str) else [self.mask(text) for text in value]

    def close(self, seconds: float) -> None:
        """Write what is queued, for at most `seconds`, and close the log."""
        self._sink.close(seconds)

    def _dropped(self, count: int) -> str:
        """Return the log line that says how many records were dropped."""
        message = f"dropped {count} records: the reader of stderr is too slow"
        return self._form.line("WARNING", OURS, message, at=time.time())


def _as_nginx_writes(secret: str) -> tuple[str, ...]:
    """Return a tuple of the three forms in which nginx may write a secret: plain, escaped in two ways."""
    plain = secret.replace("\\", "\\x5C").replace('"', "\\x22")
    return secret, json.dumps(secret, ensure_ascii=False)[1:-1], plain
