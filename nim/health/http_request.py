"""Send one non-blocking HTTP request to the engine from the event loop."""

import socket
from collections.abc import Callable

from nim.event_loop import EventLoop
from nim.plan import Engine

READ_BYTES = 65536
# No answer requested here comes near this size.
LONGEST_ANSWER_BYTES = 16 * 1024 * 1024

Address = str | tuple[str, int]
# Status and body; status 0 means no answer: a timeout, or a refused or broken connection.
Answered = Callable[[int, bytes], None]


def address_of(engine: Engine) -> Address:
    """Return the engine's address: the path of a unix socket as str, or a tuple (host, port)."""
    return engine.socket or ("127.0.0.1", engine.port or 0)


def get(path: str) -> bytes:
    """Return the bytes of a GET request, in HTTP/1.0 so that the answer is not chunked."""
    return f"GET {path} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()


def post(path: str, body: str, key: str | None) -> bytes:
    """Return the bytes of a POST request with a JSON body; `key` is sent as bearer token unless None."""
    lines = [f"POST {path} HTTP/1.0", "Host: localhost", "Connection: close"]
    lines += ["Content-Type: application/json", f"Content-Length: {len(body.encode())}"]
    lines += [f"Authorization: Bearer {key}"] if key else []
    return "\r\n".join([*lines, "", body]).encode()


class HttpRequest:
    """One request on its own connection; `answered` is called once, at the latest after `seconds`."""

    def __init__(
        self, loop: EventLoop, address: Address, request: bytes, seconds: float, answered: Answered
    ) -> None:
        self._loop, self._request, self._answered = loop, request, answered
        self._answer = b""
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self._link = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._link.connect_ex(address)  # the first write reports whether the connection succeeded
        self._timer = loop.after(seconds, lambda: self._end(0))
        loop.watch(self._link.fileno(), self._send, writable=True)

    def cancel(self) -> None:
        """Close the connection and drop the request; `answered` will not be called."""
        self._answered = lambda *_: None
        self._end(0)

    def _send(self) -> None:
        """Send as much of the request as is accepted, then wait for the answer; status 0 if that fails."""
        try:
            sent = self._link.send(self._request, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return
        except OSError:
            self._end(0)
            return
        self._request = self._request[sent:]
        if not self._request:
            self._loop.unwatch(self._link.fileno())
            self._loop.watch(self._link.fileno(), self._on_readable)

    def _on_readable(self) -> None:
        """Read a piece of the answer; end the request when it is complete, broken or too long."""
        try:
            piece = self._link.recv(READ_BYTES)
        except OSError:
            self._end(0)
            return
        self._answer += piece
        if not piece or len(self._answer) > LONGEST_ANSWER_BYTES:
            self._end(_status(self._answer))

    def _end(self, status: int) -> None:
        """Close the connection and call `answered` with status and body; status 0 means no answer."""
        if self._link.fileno() >= 0:
            self._timer.cancel()
            self._loop.unwatch(self._link.fileno())
            self._link.close()
            self._answered(status, self._answer.partition(b"\r\n\r\n")[2])


def _status(answer: bytes) -> int:
    """Return the HTTP status of an answer as int; 0 if it has none."""
    word = answer[9:12]
    return int(word) if answer.startswith(b"HTTP/1.") and word.isdigit() else 0
