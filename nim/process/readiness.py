"""Asks the engine's /health, without waiting for the answer, until it is 200."""

import os
import socket
from collections.abc import Callable

from nim.plan import Engine
from nim.process.loop import Loop, Timer

ANSWER_SECONDS = 1.0
# How often: an engine that has said that it serves is asked soon, one that never says so is asked seldom.
SOON_SECONDS, SELDOM_SECONDS = 0.05, 0.5
_REQUEST = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

Address = str | tuple[str, int]


def address_of(engine: Engine) -> Address:
    """What to connect to: the path of a unix socket, or a port on loopback."""
    return engine.socket or ("127.0.0.1", engine.port or 0)


class Probe:
    """One question. `answered` gets whether the answer was 200; silence and refusal are no."""

    def __init__(self, loop: Loop, address: Address, answered: Callable[[bool], None]) -> None:
        self._loop, self._answered = loop, answered
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self._link = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._link.connect_ex(address)  # whether that works out is told by the first write
        self._timer = loop.after(ANSWER_SECONDS, lambda: self._end(False))
        loop.watch(self._link.fileno(), self._ask, writable=True)

    def cancel(self) -> None:
        """The answer is of no interest any more."""
        self._answered = lambda _: None
        self._end(False)

    def _ask(self) -> None:
        self._loop.unwatch(self._link.fileno())
        self._loop.watch(self._link.fileno(), self._hear)
        try:
            self._link.send(_REQUEST, socket.MSG_NOSIGNAL)
        except OSError:
            self._end(False)

    def _hear(self) -> None:
        try:
            answer = self._link.recv(64)
        except OSError:
            answer = b""
        self._end(answer.startswith(b"HTTP/1.1 200"))

    def _end(self, well: bool) -> None:
        if self._link.fileno() >= 0:
            self._timer.cancel()
            self._loop.unwatch(self._link.fileno())
            self._link.close()
            self._answered(well)


class Readiness:
    """Asks again and again from `begin` on, and calls `ready` once, unless `end` comes first."""

    def __init__(self, loop: Loop, address: Address, ready: Callable[[], None]) -> None:
        self._loop, self._address, self._ready = loop, address, ready
        self._pause = SELDOM_SECONDS
        self._probe: Probe | None = None
        self._timer: Timer | None = None

    def begin(self) -> None:
        """A start has begun."""
        self._pause = SELDOM_SECONDS
        self._timer = self._loop.after(self._pause, self._ask)

    def hurry(self) -> None:
        """The engine says that it serves now."""
        self._pause = SOON_SECONDS
        if self._timer:
            self._timer.cancel()
            self._timer = self._loop.after(0, self._ask)

    def end(self) -> None:
        """Ask no more."""
        for pending in (self._timer, self._probe):
            if pending:
                pending.cancel()
        self._timer = self._probe = None

    def _ask(self) -> None:
        """Before the engine has bound its socket there is nobody to be asked."""
        self._timer = None
        if isinstance(self._address, str) and not os.path.exists(self._address):  # noqa: PTH110 (asked often)
            self._heard(False)
        else:
            self._probe = Probe(self._loop, self._address, self._heard)

    def _heard(self, well: bool) -> None:
        self._probe = None
        if well:
            self._ready()
        else:
            self._timer = self._loop.after(self._pause, self._ask)
