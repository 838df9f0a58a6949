"""Write log records of this process and of all programs to stderr, masked, one line each."""

import json
import time
from collections.abc import Mapping, Sequence

from nim.event_loop import EventLoop
from nim.log_format import Form
from nim.logging.log_line_parsers import Record, read_access
from nim.logging.stderr_queue import StderrQueue
from nim.redact import MASK, is_secret_name, mask_argv

OURS = "nim"
# Shorter values are not treated as secrets: they would be masked wherever their letters occur.
SECRET_CHARACTERS = 6


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
        masked = _without(self._secrets_as_nginx_writes, line)
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
        return _without(self._secrets, text)

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


def _without(secrets: Sequence[str], text: str) -> str:
    """Return the text with each secret masked."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


def _as_nginx_writes(secret: str) -> tuple[str, ...]:
    """Return a secret as written, as in JSON, and line by line."""
    plain = secret.replace("\\", "\\x5C").replace('"', "\\x22")
    return secret, json.dumps(secret, ensure_ascii=False)[1:-1], plain


def known_secrets(environ: Mapping[str, str], argv: Sequence[str]) -> tuple[str, ...]:
    """Return the secrets of environment and arguments in every form a log can show, longest first."""
    found = {value for name, value in environ.items() if is_secret_name(name)}
    for token, masked in zip(argv, mask_argv(argv), strict=True):
        if token != masked:
            found.add(token.partition("=")[2] if token.startswith("--") else token)
    return tuple(sorted((s for s in found if len(s) >= SECRET_CHARACTERS), key=len, reverse=True))
