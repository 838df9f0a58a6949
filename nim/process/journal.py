"""Everything that is said, by us and by the programs, on its way to stderr: masked, one line a record."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from nim.logs import Form
from nim.process.loop import Loop
from nim.process.records import Record, read_access
from nim.process.sink import Sink
from nim.redact import MASK, is_secret_name, mask_argv

OURS = "nim"
# A shorter value is no secret worth the name, and would be masked wherever its letters occur.
SECRET_CHARACTERS = 6


class Journal:
    """Writes records to a descriptor and keeps `secrets` out of them."""

    def __init__(self, form: Form, fd: int, loop: Loop, secrets: Sequence[str]) -> None:
        self._form, self._secrets = form, secrets
        self._sink = Sink(fd, loop, self._dropped)

    def say(self, level: str, message: str) -> None:
        """A record of our own."""
        self.record(OURS, Record(level=level, message=message))

    def record(self, component: str, record: Record, **more: Any) -> None:
        """A record of some program's, if its level is wanted."""
        if self._form.wants(record.level):
            line = self._form.line(record.level, component, record.message, at=time.time(), **more)
            self._sink.put(self.mask(line), always=record.level == "CRITICAL" and component == OURS)

    def access(self, line: str) -> None:
        """A line that is a record already."""
        if self._form.wants(read_access(line).level):
            self._sink.put(self.mask(line) + "\n")

    def block(self, text: str, record: Record, **more: Any) -> None:
        """What a human is to read as a whole; for machines it is one record like any other."""
        if self._form.as_json:
            self.record(OURS, record, **more)
        else:
            self._sink.put(self.mask(text), always=True)

    def mask(self, text: str) -> str:
        """The text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text

    def close(self, seconds: float) -> None:
        """Wait so long for a slow reader, then give up."""
        self._sink.close(seconds)

    def _dropped(self, count: int) -> str:
        message = f"dropped {count} records: whoever reads stderr is too slow"
        return self._form.line("WARNING", OURS, message, at=time.time())


def known_secrets(environ: Mapping[str, str], argv: Sequence[str]) -> tuple[str, ...]:
    """The secrets of the environment and the command line as they could appear in a log, longest first."""
    found = {value for name, value in environ.items() if is_secret_name(name)}
    for token, masked in zip(argv, mask_argv(argv), strict=True):
        if token != masked:
            found.add(token.partition("=")[2] if token.startswith("--") else token)
    return tuple(sorted((s for s in found if len(s) >= SECRET_CHARACTERS), key=len, reverse=True))
