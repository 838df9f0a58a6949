"""Poll the engine's /health until it answers 200."""

import os
from collections.abc import Callable

from nim.event_loop import EventLoop, Timer
from nim.health.http_request import Address, HttpRequest, get

ANSWER_TIMEOUT_SECONDS = 1.0
# Poll soon after the engine logs that it serves, seldom while it does not.
FAST_POLL_SECONDS, SLOW_POLL_SECONDS = 0.05, 0.5


def ask_health(loop: EventLoop, address: Address, answered: Callable[[bool], None]) -> HttpRequest:
    """Send GET /health, return the HttpRequest; call `answered` later with True for 200, else False."""
    return HttpRequest(
        loop, address, get("/health"), ANSWER_TIMEOUT_SECONDS, lambda status, _: answered(status == 200)
    )


class Readiness:
    """Polls from `begin` on and calls `ready` once, unless `end` comes first."""

    def __init__(self, loop: EventLoop, address: Address, ready: Callable[[], None]) -> None:
        self._loop, self._address, self._ready = loop, address, ready
        self._pause = SLOW_POLL_SECONDS
        self._probe: HttpRequest | None = None
        self._timer: Timer | None = None

    def begin(self) -> None:
        """Start polling the engine's /health every 0.5 s."""
        self._pause = SLOW_POLL_SECONDS
        self._timer = self._loop.after(self._pause, self._ask)

    def hurry(self) -> None:
        """Poll /health at once and then every 0.05 s: the engine has logged that it serves."""
        self._pause = FAST_POLL_SECONDS
        if self._timer:
            self._timer.cancel()
            self._timer = self._loop.after(0, self._ask)

    def end(self) -> None:
        """Stop polling /health and cancel a pending request."""
        for pending in (self._timer, self._probe):
            if pending:
                pending.cancel()
        self._timer = self._probe = None

    def _ask(self) -> None:
        """Poll /health once; without a request, and as unhealthy, if the engine's socket does not exist."""
        self._timer = None
        if isinstance(self._address, str) and not os.path.exists(self._address):  # noqa: PTH110 (called often)
            self._on_answer(False)
        else:
            self._probe = ask_health(self._loop, self._address, self._on_answer)

    def _on_answer(self, well: bool) -> None:
        """Call `ready` after a healthy answer, else schedule the next poll."""
        self._probe = None
        if well:
            self._ready()
        else:
            self._timer = self._loop.after(self._pause, self._ask)
