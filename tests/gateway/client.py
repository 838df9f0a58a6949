"""A test client with raw sockets and a strict parser of answers."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import h11

from tests.gateway.nginx import PATIENCE_SECONDS

MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One whole answer. Header names are in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the header's value; None when there is none. More than one is a failure."""
        values = [value for key, value in self.headers if key == name.lower()]
        assert len(values) <= 1, values
        return values[0] if values else None

    def names(self) -> set[str]:
        return {key for key, _ in self.headers}

    def json(self) -> Any:
        assert self.header("content-type") == "application/json"
        return json.loads(self.body)


class Client:
    """One connection. Whatever is sent, the answer must be well-formed for the method named."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self._parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_BYTES)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def request(
        self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> None:
        """Send a well-formed request."""
        fields = {"Host": "gateway.test"} | (dict(headers) if headers else {})
        if body is not None:
            fields["Content-Length"] = str(len(body))
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        await self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))

    async def events(self, method: str = "GET") -> AsyncIterator[Any]:
        """Yield h11's events of the next answer as they arrive."""
        if self._parser.our_state is h11.DONE:
            self._parser.start_next_cycle()
        # What was really sent may be nonsense; the parser needs to know the method to frame the answer.
        self._parser.send(h11.Request(method=method, target="/", headers=[("Host", "gateway.test")]))
        self._parser.send(h11.EndOfMessage())
        while True:
            event = self._parser.next_event()
            if event is h11.NEED_DATA:
                self._parser.receive_data(await self._reader.read(65536))
            elif isinstance(event, h11.ConnectionClosed):
                raise ConnectionError("closed without an answer")
            else:
                yield event
                if isinstance(event, h11.EndOfMessage):
                    return

    async def answer(self, method: str = "GET") -> Answer:
        """Return the next answer, whole."""
        status, body = 0, bytearray()
        headers: tuple[tuple[str, str], ...] = ()
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for event in self.events(method):
                match event:
                    case h11.Response():
                        status = event.status_code
                        headers = tuple(
                            (key.decode(), value.decode("latin-1")) for key, value in event.headers
                        )
                    case h11.Data():
                        body += event.data
        return Answer(status=status, headers=headers, body=bytes(body))

    async def ends(self) -> bytes:
        """Return whatever else comes until the other side closes."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self._reader.read()


@asynccontextmanager
async def connected(port: int, host: str = "127.0.0.1") -> AsyncIterator[Client]:
    """Yield a connection to the gateway."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):  # the other side was first
            await writer.wait_closed()


async def ask(
    port: int,
    target: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    host: str = "127.0.0.1",
) -> Answer:
    """Return one request on a connection of its own."""
    async with connected(port, host) as client:
        await client.request(method, target, headers, body)
        return await client.answer(method)


async def tell(port: int, data: bytes, *, method: str = "GET") -> Answer:
    """Return bytes as they are, and the answer to them."""
    async with connected(port) as client:
        await client.send(data)
        return await client.answer(method)
