"""Wait until the adapters of NIM_PEFT_SOURCE are loaded into an engine that has just started."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from nim.event_loop import EventLoop, Timer
from nim.health.detect_startup_phase import Step
from nim.plan import ADAPTERS_FILE, Plan
from nim.service_state import Phase

POLL_SECONDS = 0.1
# Beside the time-out of one adapter: what else may take time between two of them, such as copying it.
GRACE_SECONDS = 30.0


class AdaptersPoller:
    """Polls the middleware's status file from `begin` on, and calls `done` once, unless `end` comes first.

    A middleware that makes no progress does not keep the service from being ready.
    """

    def __init__(
        self,
        plan: Plan,
        loop: EventLoop,
        step: Callable[[Step], None],
        say: Callable[[str, str], None],
        done: Callable[[], None],
    ) -> None:
        self._loop, self._step, self._say, self._done = loop, step, say, done
        self._file, self._adapters = plan.file(ADAPTERS_FILE), plan.adapters
        self._timer: Timer | None = None
        self._last: dict[str, Any] = {}
        self._progress_at = 0.0

    @property
    def needed(self) -> bool:
        """Return whether there are adapters to wait for."""
        return self._adapters is not None

    def forget(self) -> None:
        """Remove the status file: what it says is of the engine before."""
        with suppress(OSError):
            self._file.unlink(missing_ok=True)

    def begin(self) -> None:
        """Start to poll; call `done` at once if there are no adapters."""
        self._last, self._progress_at = {}, time.monotonic()
        if self.needed:
            self._poll()
        else:
            self._done()

    def end(self) -> None:
        """Stop polling."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _poll(self) -> None:
        """Read the status file; call `done` if it says complete, or if nothing has changed for too long."""
        self._timer = None
        status = self._read()
        if status and status != self._last:
            self._last, self._progress_at = status, time.monotonic()
            message = f"loading adapters: {status.get('done')} of {status.get('total')}"
            self._step(Step(phase=Phase.WARM_UP, message=message))
        assert self._adapters is not None
        patience = self._adapters.api_timeout_seconds + GRACE_SECONDS
        if status.get("complete"):
            self._done()
        elif time.monotonic() - self._progress_at > patience:
            self._say("WARNING", f"ready without all adapters: nothing was loaded for {patience:g} s")
            self._done()
        else:
            self._timer = self._loop.after(POLL_SECONDS, self._poll)

    def _read(self) -> dict[str, Any]:
        """Return the status as a dict; an empty one if there is none yet."""
        try:
            status = json.loads(self._file.read_bytes())
        except (OSError, ValueError):
            return {}
        return status if isinstance(status, dict) else {}
