"""Reload nginx when the files it serves with have changed, without cutting a stream."""

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from nim.errors import PreflightError
from nim.event_loop import EventLoop, Steps, Task
from nim.health.status_files import StatusPublisher
from nim.plan import Plan
from nim.supervision.supervised_program import Program

POLL_SECONDS = 2.0
EXPIRY_REMINDER_SECONDS = 24 * 3600.0


class GatewayReload:
    """Watches the certificate files and sends nginx SIGHUP once changed ones have been checked.

    Files are judged when two polls in a row see them the same, since a key and its certificate may be written
    one after the other. Refused files are reported once, and nginx keeps what it has loaded.
    """

    def __init__(
        self,
        plan: Plan,
        loop: EventLoop,
        nginx: Program,
        status: StatusPublisher,
        say: Callable[[str, str], None],
    ) -> None:
        self._tls = plan.gateway.tls
        self._loop, self._nginx, self._status, self._say = loop, nginx, status, say
        self._judged = self._seen = self._signature()
        self._remind_at = 0.0

    def start(self) -> None:
        """Begin to watch, if there are files to watch."""
        if self._tls:
            Task(self._loop, self._watch())

    def _watch(self) -> Steps:
        if (expires_at := self._checked()) is not None:
            self._status.certificate(expires_at)
        while True:
            self._remind()
            yield POLL_SECONDS
            self._poll()

    def _poll(self) -> None:
        """Judge the files if they have changed since they were last judged, and have stopped changing."""
        before, self._seen = self._seen, self._signature()
        if self._seen == self._judged or self._seen != before:
            return
        self._judged = self._seen
        if (expires_at := self._checked()) is not None and self._nginx.process:
            self._nginx.process.send(signal.SIGHUP)
            self._status.reloaded(expires_at)
            self._say("INFO", f"TLS files changed: nginx rereads them; {_until(expires_at)}")

    def _checked(self) -> float | None:
        """Return when the certificate expires, infinity if unknown; None, reported, if it is refused."""
        from nim.preflight.certificates import check_certificates  # OpenSSL is loaded only with TLS

        assert self._tls
        try:
            return check_certificates(self._tls) or float("inf")
        except (PreflightError, OSError) as error:
            self._status.reload_refused()
            why = error.message if isinstance(error, PreflightError) else str(error)
            self._say("ERROR", f"{why}; nginx keeps the files that it has loaded")
            return None

    def _remind(self) -> None:
        """Warn once a day of a certificate that expires soon."""
        from nim.preflight.certificates import expiry_warning

        if self._loop.now() >= self._remind_at:
            self._remind_at = self._loop.now() + EXPIRY_REMINDER_SECONDS
            if warning := expiry_warning(self._status.state.certificate_expires_at, time.time()):
                self._say("WARNING", warning)

    def _signature(self) -> tuple[Any, ...]:
        """Return what changes with the files: identity, size and time of each, links followed."""
        found: list[Any] = []
        for path in self._tls.files if self._tls else ():
            found.append(None)
            with suppress(OSError):
                now = Path(path).stat()
                found[-1] = (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns)
        return tuple(found)


def _until(expires_at: float) -> str:
    if expires_at == float("inf"):
        return "OpenSSL does not tell until when the certificate is valid"
    return f"the certificate is valid until {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime(expires_at))}"
