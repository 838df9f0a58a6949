"""The router's side of the connections from nginx: a small HTTP/1.1 server whose only client is nginx.

nginx sends only the headers that its configuration names, and the whole body with its length. A general
server would take longer for a request than the decision itself.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import cast

from nim.proxy.routing.decider import Decider, Question
from nim.proxy.routing.running_requests import last_value

log = logging.getLogger(__name__)

HEAD_END = b"\r\n\r\n"
MOST_HEAD_BYTES = 256 * 1024
BUFFER_BYTES, MOST_KEPT_BYTES = 64 * 1024, 2 * 1024 * 1024
_FAILED = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
_BAD = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_HEALTHY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_UNHEALTHY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


class DeciderProtocol(asyncio.BufferedProtocol):
    """One connection of nginx, or of PID 1, which asks for /health.

    Bodies are read where they arrived: in one buffer for all requests, which grows for large ones.
    """

    def __init__(self, decider: Decider, healthy: Callable[[], bool]) -> None:
        self._decider, self._healthy = decider, healthy
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._used = self._needed = 0
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for the answers."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, _: Exception | None) -> None:
        """Stop a decision that nobody waits for any more."""
        self._transport = None
        if self._task:
            self._task.cancel()

    def get_buffer(self, _: int) -> memoryview:
        """Return the free part of the buffer, which is at least what the present request still lacks."""
        size = len(self._buffer)
        if self._used == size or self._needed > size:
            self._resize(max(self._needed, 2 * size))
        return self._view[self._used :]

    def buffer_updated(self, count: int) -> None:
        """Answer each request that is complete."""
        self._used += count
        if self._used >= self._needed and self._task is None:
            self._take()

    def _resize(self, size: int) -> None:
        """Replace the buffer by one of another size, with the same content."""
        buffer = bytearray(size)
        buffer[: self._used] = self._view[: self._used]
        self._buffer, self._view = buffer, memoryview(buffer)

    def _take(self) -> None:
        """Answer the complete requests in the buffer, and move what is left to its beginning."""
        at, self._needed = 0, 0
        while at < self._used and self._transport is not None and self._task is None:
            end = self._buffer.find(HEAD_END, at, self._used)
            if end < 0:
                if self._used - at > MOST_HEAD_BYTES:
                    self._write(_BAD, close=True)
                break
            try:
                line, headers = _head(bytes(self._view[at:end]))
                whole = end + 4 + int(headers.get(b"content-length", b"0"))
            except (ValueError, IndexError):
                self._write(_BAD, close=True)
                return
            if self._used < whole:
                self._needed = whole - at
                break
            self._answer(line, headers, self._view[end + 4 : whole])
            at = whole
        self._keep_from(at)

    def _keep_from(self, at: int) -> None:
        """Forget what is before `at`; give a buffer back that one large request needed."""
        left = self._used - at
        if left and at:
            self._view[:left] = bytes(self._view[at : self._used])
        self._used = left
        if not left and len(self._buffer) > MOST_KEPT_BYTES:
            self._resize(BUFFER_BYTES)

    def _answer(self, line: list[bytes], headers: dict[bytes, bytes], body: memoryview) -> None:
        """Write the answer to one request, now or when it is known."""
        path, _, query = line[1].decode("latin-1").partition("?")
        if path == "/health":
            close = line[2] == b"HTTP/1.0"
            self._write(_HEALTHY if self._healthy() else _UNHEALTHY, close=close)
            return
        try:
            answer = self._decide(path, query, headers, body)
        except Exception:
            log.exception("cannot decide about %s", path)
            answer = _FAILED
        if isinstance(answer, bytes):
            self._write(answer)
        else:
            self._task = asyncio.get_running_loop().create_task(self._finish(answer, path))

    def _decide(
        self, path: str, query: str, headers: dict[bytes, bytes], body: memoryview
    ) -> bytes | Awaitable[bytes]:
        """Return the decider's answer, or something to await for it."""
        get = headers.get
        question = Question(
            key=get(b"x-nim-request", b""),
            generation=int(get(b"x-nim-generation", b"0")),
            worker=int(get(b"x-nim-worker", b"0")),
            path=path,
            content_type=get(b"content-type", b"").decode("latin-1"),
            request_id=get(b"x-request-id", b"").decode("latin-1"),
            model=get(b"x-nim-model", b"").decode("utf-8", "replace"),
            query=query,
            body=body,
        )
        if path != "/failed":
            return self._decider.decide(question)
        status = last_value(get(b"x-nim-status", b"")) or b"502"
        return self._decider.after_failure(
            question,
            connected=last_value(get(b"x-nim-connected", b"")) is not None,
            status=504 if status == b"504" else 502,
            name=get(b"x-nim-replica", b"").decode("latin-1"),
        )

    async def _finish(self, answer: Awaitable[bytes], path: str) -> None:
        """Write an answer once it is known, then go on with what has arrived meanwhile."""
        try:
            text = await answer
        except Exception:
            log.exception("cannot decide about %s", path)
            text = _FAILED
        self._task = None
        self._write(text)
        self._take()

    def _write(self, answer: bytes, *, close: bool = False) -> None:
        """Send an answer; nothing if the connection is gone."""
        if self._transport is not None:
            self._transport.write(answer)
            if close:
                self._transport.close()


def _head(head: bytes) -> tuple[list[bytes], dict[bytes, bytes]]:
    """Return the words of a request line, and {name in lower case: value}; ValueError for other text."""
    first, *lines = head.split(b"\r\n")
    words = first.split(b" ")
    if len(words) != 3:
        raise ValueError(first)
    headers: dict[bytes, bytes] = {}
    for line in lines:
        name, _, value = line.partition(b":")
        headers[name.lower()] = value.strip()
    return words, headers
