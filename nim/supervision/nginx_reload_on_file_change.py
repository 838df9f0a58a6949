"""Reload nginx when the files it serves with have changed, without cutting a stream."""

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from nim.errors import PreflightError
from nim.event_loop import EventLoop, Steps, Task
from nim.health.write_status_files import StatusPublisher, write_file
from nim.plan import API_KEYS_FILE, Plan
from nim.supervision.supervisord.supervised_program import Program

POLL_SECONDS = 2.0
EXPIRY_REMINDER_SECONDS = 24 * 3600.0


class GatewayReload:
    """Watches the files of certificates and API keys; sends nginx SIGHUP once changed ones have been checked.

    Files are judged when two polls in a row see them the same, since a key and its certificate may be written
    one after the other. Refused files are reported once, and nginx keeps what it has loaded.
    """

    def __init__(
        self,
        plan: Plan,
        loop: EventLoop,
        nginx: Sequence[Program],
        status: StatusPublisher,
        say: Callable[[str, str], None],
        environ: Mapping[str, str],
    ) -> None:
        self._plan, self._tls, self._keys = plan, plan.gateway.tls, plan.gateway.api_keys
        self._loop, self._nginx, self._status, self._say = loop, nginx, status, say
        self._environ = environ
        keys_file = self._keys.file if self._keys else None
        self._paths = (*(self._tls.files if self._tls else ()), *([keys_file] if keys_file else []))
        self._judged = self._seen = self._signature()
        self._remind_at = 0.0

    def start(self) -> None:
        """Begin to poll certificate and API key files every two seconds; nothing without such files."""
        if self._paths:
            Task(self._loop, self._watch())

    def _watch(self) -> Steps:
        """Check the files once, then poll them every two seconds and warn of expiry (endless generator)."""
        self._check()
        while True:
            self._remind()
            yield POLL_SECONDS
            self._poll()

    def _poll(self) -> None:
        """Send nginx SIGHUP if the files have changed, have stopped changing, and pass the check."""
        before, self._seen = self._seen, self._signature()
        if self._seen == self._judged or self._seen != before:
            return
        self._judged = self._seen
        running = [program.process for program in self._nginx if program.process]
        if self._check() and running:
            for process in running:
                process.send(signal.SIGHUP)
            self._remind_at = 0.0
            self._status.reloaded()
            self._say("INFO", f"files changed: nginx rereads {self._contents()}")

    def _check(self) -> bool:
        """Return whether the files can be used; publish the expiry, write the key digests, log a refusal."""
        try:
            if self._tls:
                # OpenSSL is loaded only with TLS.
                from nim.preflight.check_certificates import check_certificates

                self._status.certificate(check_certificates(self._tls))
            if self._keys:
                from nim.preflight.read_api_keys_file import digests_for_nginx

                path = Path(self._plan.run_dir, API_KEYS_FILE)
                write_file(path, digests_for_nginx(self._keys, self._environ))
        except (PreflightError, OSError) as error:
            self._status.reload_refused()
            why = error.message if isinstance(error, PreflightError) else str(error)
            self._say("ERROR", f"{why}; nginx keeps the files that it has loaded")
            return False
        return True

    def _contents(self) -> str:
        """Return text on what nginx rereads: the certificate with its expiry, the API keys, or both."""
        words = []
        if self._tls:
            words.append(f"the certificate{self._until()}")
        if self._keys:
            words.append("the API keys")
        return " and ".join(words)

    def _until(self) -> str:
        """Return a clause with the date on which the certificate expires; empty if that is unknown."""
        from nim.preflight.check_certificates import format_date

        expires_at = self._status.state.certificate_expires_at
        return f" (valid until {format_date(expires_at)})" if expires_at else ""

    def _remind(self) -> None:
        """Log a warning, daily and after a change, if the certificate expires soon or lacks its chain."""
        if self._tls and self._loop.now() >= self._remind_at:
            from nim.preflight.check_certificates import chain_warning, expiry_warning

            self._remind_at = self._loop.now() + EXPIRY_REMINDER_SECONDS
            expiry = expiry_warning(self._status.state.certificate_expires_at, time.time())
            for warning in filter(None, (expiry, chain_warning(self._tls))):
                self._say("WARNING", warning)

    def _signature(self) -> tuple[Any, ...]:
        """Return a tuple with device, inode, size and mtime of each watched file, None for a missing one."""
        found: list[Any] = []
        for path in self._paths:
            found.append(None)
            with suppress(OSError):
                now = Path(path).stat()
                found[-1] = (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns)
        return tuple(found)
