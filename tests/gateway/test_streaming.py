"""Events pass when they arrive, disconnects reach the engine, and large bodies pass."""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable

import h11
import pytest

from tests.gateway.client import Client, connected
from tests.gateway.conftest import Build, GatewayStack
from tests.gateway.nginx import PATIENCE_SECONDS, until
from tests.gateway.upstream import END_OF_STREAM, EVENT_STREAM, OK, Received, chunk

Answering = Callable[[Received, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
STREAMING = ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"]


def event(number: int) -> bytes:
    """Return a server-sent event."""
    return b'data: {"token": %d}\n\n' % number


class Paced:
    """An engine that sends event k + 1 only when it is told that event k has arrived."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.arrived = asyncio.Semaphore(0)

    async def __call__(
        self, _request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(EVENT_STREAM)
        for number in range(self.count):
            writer.write(chunk(event(number)))
            await writer.drain()
            await self.arrived.acquire()
        writer.write(END_OF_STREAM)


@pytest.mark.parametrize("path", STREAMING)
@pytest.mark.parametrize("workers", [1, 2])
async def test_each_event_leaves_before_the_next_is_made(build: Build, path: str, workers: int) -> None:
    stack = await build(worker_processes=workers)
    stack.engine.answering = paced = Paced(20)
    events: list[bytes] = []
    async with connected(stack.port) as client, asyncio.timeout(PATIENCE_SECONDS):
        await client.request("POST", path, body=b'{"stream":true}')
        async for part in client.events("POST"):
            match part:
                case h11.Response():
                    headers = {key.decode(): value.decode() for key, value in part.headers}
                case h11.Data():
                    events.append(bytes(part.data))
                    paced.arrived.release()
    assert events == [event(number) for number in range(20)]
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["x-accel-buffering"] == "no"


async def test_many_streams_at_once_and_no_two_events_in_one(stack: GatewayStack) -> None:
    async def stream(paced: Paced) -> list[bytes]:
        async with connected(stack.port) as client, asyncio.timeout(PATIENCE_SECONDS):
            await client.request("POST", "/v1/chat/completions", body=b"{}")
            events = []
            async for part in client.events("POST"):
                if isinstance(part, h11.Data):
                    events.append(bytes(part.data))
                    paced.arrived.release()
            return events

    engines = [Paced(10) for _ in range(64)]
    free = iter(engines)

    async def one_of_them(
        request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await next(free)(request, reader, writer)

    async def chain() -> list[list[bytes]]:
        tasks = []
        for number, paced in enumerate(engines):
            tasks.append(asyncio.create_task(stream(paced)))
            await until(lambda number=number: len(stack.engine.received) == number + 1)  # type: ignore[misc]
        return await asyncio.gather(*tasks)

    stack.engine.answering = one_of_them
    assert await chain() == [[event(number) for number in range(10)]] * 64


async def test_only_streams_ask_not_to_be_buffered(stack: GatewayStack) -> None:
    assert "x-accel-buffering" not in (await stack.ask("/v1/models")).names()


class Watching:
    """An engine that says something, may go on talking, and notices when its client is gone."""

    def __init__(self, said: bytes, *, goes_on: bool = False) -> None:
        self.said, self.goes_on = said, goes_on
        self.gone_at: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def __call__(
        self, _request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(self.said)
        talking = asyncio.create_task(self._talk(writer))
        try:
            assert await reader.read() == b""
        finally:
            self.gone_at.set_result(time.monotonic())
            talking.cancel()
        raise ConnectionError

    async def _talk(self, writer: asyncio.StreamWriter) -> None:
        while self.goes_on:
            writer.write(chunk(event(0)))
            await writer.drain()
            await asyncio.sleep(0.001)


async def seconds_until_noticed(stack: GatewayStack, watching: Watching) -> float:
    """Return the seconds from a client's disconnect until the engine's connection closes."""
    stack.engine.answering = watching
    before = len(stack.engine.received)
    async with connected(stack.port) as client:
        await client.request("POST", "/v1/chat/completions", body=b"{}")
        await until(lambda: len(stack.engine.received) > before)
        if watching.said:
            await anext(client.events("POST"))
        assert not watching.gone_at.done()
        left_at = time.monotonic()
    return await asyncio.wait_for(watching.gone_at, PATIENCE_SECONDS) - left_at


@pytest.mark.parametrize(
    ("said", "goes_on"),
    [(b"", False), (EVENT_STREAM, False), (EVENT_STREAM + chunk(event(0)), False), (EVENT_STREAM, True)],
    ids=["silent", "head", "event", "busy"],
)
async def test_a_client_that_leaves_is_noticed_behind_within_a_second(
    stack: GatewayStack, said: bytes, goes_on: bool
) -> None:
    """Of three that leave: the machine may stand still meanwhile."""
    took = [await seconds_until_noticed(stack, Watching(said, goes_on=goes_on)) for _ in range(3)]
    assert min(took) < 1, took


async def test_a_stream_that_breaks_behind_is_cut_not_ended(stack: GatewayStack) -> None:
    async def break_off(
        request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(EVENT_STREAM + chunk(event(0)))
        await writer.drain()
        raise ConnectionError

    stack.engine.answering = break_off
    async with connected(stack.port) as client:
        await client.request("POST", "/v1/chat/completions", body=b"{}")
        with pytest.raises(h11.RemoteProtocolError, match="incomplete"):
            await client.answer("POST")


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_a_body_of_100_mb_passes_whole_with_its_length(stack: GatewayStack, chunked: bool) -> None:
    piece = bytes(range(256)) * 4096
    digest = hashlib.sha256()
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {100 * len(piece)}"
    async with connected(stack.port) as client:
        await client.send(f"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n".encode())
        for _ in range(100):
            digest.update(piece)
            await client.send(chunk(piece) if chunked else piece)
        await client.send(END_OF_STREAM if chunked else b"")
        assert (await client.answer("POST")).status == 200
    [received] = stack.engine.received
    assert hashlib.sha256(received.body).digest() == digest.digest()
    assert received.header("content-length") == str(100 * len(piece))
    assert "transfer-encoding" not in {key for key, _ in received.headers}


async def test_the_engine_hears_of_a_request_when_its_body_is_whole(stack: GatewayStack) -> None:
    async with connected(stack.port) as client:
        await client.send(b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
        assert (await stack.ask("/v1/models")).status == 200
        assert [request.target for request in stack.engine.received] == ["/v1/models"]
        await client.send(b"cd")
        assert (await client.answer("POST")).status == 200
    assert stack.engine.received[1].body == b"abcd"


async def test_an_answer_of_10_mb_passes_whole(stack: GatewayStack) -> None:
    body = bytes(range(256)) * 40960

    async def big(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    stack.engine.answering = big
    assert (await stack.ask("/v1/embeddings", method="POST", body=b"{}")).body == body


async def test_expect_continue_is_answered(stack: GatewayStack) -> None:
    async with connected(stack.port) as client:
        await client.send(
            b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
        events = client.events("POST")
        first = await anext(events)
        assert isinstance(first, h11.InformationalResponse)
        assert first.status_code == 100
        await client.send(b"{}")
        assert isinstance(await anext(events), h11.Response)


async def test_realtime_becomes_a_tunnel(stack: GatewayStack) -> None:
    async def tunnel(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (request.header("upgrade"), request.header("connection")) == ("websocket", "upgrade")
        assert request.header("sec-websocket-key") == "abc"
        assert request.header("proxy-authorization") is None
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        while data := await reader.read(100):
            writer.write(data.upper())
            await writer.drain()
        raise ConnectionError

    stack.engine.answering = tunnel
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    writer.write(
        b"GET /v1/realtime?model=m HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n"
        b"Upgrade: WebSocket\r\nSec-WebSocket-Key: abc\r\nProxy-Authorization: Basic YTpi\r\n\r\n"
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        for word in (b"one", b"two"):
            writer.write(word)
            assert await reader.readexactly(3) == word.upper()
    writer.close()
    await writer.wait_closed()


async def test_realtime_without_upgrade_is_a_plain_request(stack: GatewayStack) -> None:
    assert (await stack.ask("/v1/realtime", headers={"Upgrade": "h2c"})).status == 200
    [received] = stack.engine.received
    assert not {"upgrade", "connection"} & {key for key, _ in received.headers}


async def one_request(client: Client) -> int:
    await client.request("POST", "/v1/chat/completions", body=b"{}")
    return (await client.answer("POST")).status


async def test_connections_are_kept_on_both_sides(stack: GatewayStack) -> None:
    async with connected(stack.port) as client:
        for _ in range(50):
            assert await one_request(client) == 200
    for _ in range(50):
        assert (await stack.ask("/v1/models")).status == 200
    assert (await stack.ask("/v1/health/ready")).status == 200
    assert len(stack.engine.received) == 101
    assert stack.engine.connections == 1


async def test_as_many_connections_as_requests_at_once(stack: GatewayStack) -> None:
    waiting = asyncio.Event()

    async def wait(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await waiting.wait()
        writer.write(OK)

    stack.engine.answering = wait
    for _ in range(3):
        waiting.clear()
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(stack.ask("/tokenizer_info")) for _ in range(16)]
            seen = len(stack.engine.received) + 16
            await until(lambda seen=seen: len(stack.engine.received) == seen)  # type: ignore[misc]
            waiting.set()
        assert {task.result().status for task in asked} == {200}
    assert stack.engine.connections == 16


async def test_after_a_restart_no_request_meets_a_connection_of_the_old_engine(stack: GatewayStack) -> None:
    for _ in range(5):
        assert (await stack.ask("/tokenizer_info")).status == 200
        await stack.engine.close()
        stack.nginx.engine_socket.unlink(missing_ok=True)
        await stack.engine.listen(stack.nginx.engine_socket)
    assert (await stack.ask("/tokenizer_info")).status == 200
    assert stack.engine.connections == 6
