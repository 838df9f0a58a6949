"""A strict test server behind the gateway, which answers as the test sets it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import h11

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nServer: engine/1\r\n\r\n{}"
EVENT_STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
)
END_OF_STREAM = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """Return `data` as one chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request as it arrived. Header names are in lower case."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key == name.lower()]
        assert len(values) <= 1, values
        return values[0] if values else None


Answering = Callable[[Received, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def answer_ok(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send an ordinary answer."""
    writer.write(OK)


@dataclass(slots=True)
class Upstream:
    """A server that remembers. `malformed` has what its strict parser refused.

    It hands requests for the path of `relay` to another, as the middleware does with those for the models.
    With an `idle_limit_seconds` it closes connections that are idle for so long, and counts them.
    """

    answering: Answering = answer_ok
    received: list[Received] = field(default_factory=list)
    malformed: list[str] = field(default_factory=list)
    connections: int = 0
    closed_idle: int = 0
    left_idle: int = 0
    idle_limit_seconds: float | None = None
    relay: "tuple[str, Upstream] | None" = None
    _server: asyncio.Server | None = None
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    async def listen(self, where: Path | int) -> None:
        """Serve on a unix socket or a TCP port."""
        if isinstance(where, Path):
            self._server = await asyncio.start_unix_server(self._connection, str(where))
        else:
            self._server = await asyncio.start_server(self._connection, "127.0.0.1", where)

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        if self._server:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    def asked(self, target: str) -> list[Received]:
        """Return the requests with this target."""
        return [request for request in self.received if request.target == target]

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        self.connections += 1
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the gateway left, or `close` was called
        except h11.RemoteProtocolError as error:
            self.malformed.append(str(error))
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        rest = b""
        while True:
            parser = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
            if rest:
                parser.receive_data(rest)
            try:
                request = await asyncio.wait_for(self._request(parser, reader), self.idle_limit_seconds)
            except TimeoutError:
                self.closed_idle += 1
                return
            if request is None:
                self.left_idle += 1
                return
            path, other = self.relay or ("", self)
            answering = other if request.target.partition("?")[0] == path else self
            answering.received.append(request)
            await answering.answering(request, reader, writer)
            await writer.drain()
            rest = parser.trailing_data[0]

    async def _request(self, parser: h11.Connection, reader: asyncio.StreamReader) -> Received | None:
        """Return one request, whole; None when the connection ended before it."""
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = parser.next_event()
            match event:
                case h11.NEED_DATA:
                    parser.receive_data(await reader.read(1 << 20))
                case h11.Request():
                    head = event
                case h11.Data():
                    body += event.data
                case h11.EndOfMessage():
                    assert head
                    return Received(
                        method=head.method.decode(),
                        target=head.target.decode("latin-1"),
                        headers=tuple((k.decode(), v.decode("latin-1")) for k, v in head.headers),
                        body=bytes(body),
                    )
                case _:
                    return None
