"""Health answers, byte for byte: live, ready, not ready, draining, stalled."""

import asyncio
import json
from contextlib import AsyncExitStack, suppress

import h11
import pytest

from tests.gateway.client import Answer, ask, connected
from tests.gateway.conftest import Build, GatewayStack
from tests.gateway.nginx import PATIENCE_SECONDS, free_port
from tests.gateway.upstream import Received

LIVE = b'{"object":"health.response","message":"live","status":"live"}'
READY = b'{"object":"health.response","message":"ready","status":"ready"}'
NO_STORE = "no-store, no-cache, must-revalidate"


def documented(answer: Answer, body: bytes) -> None:
    """Check that body and headers are exactly the documented ones."""
    assert answer.status == 200
    assert answer.body == body
    headers = dict(answer.headers)
    headers.pop("date")
    assert headers == {
        "server": "nginx",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "keep-alive",
        "cache-control": NO_STORE,
    }


def not_ready(answer: Answer) -> dict[str, object]:
    """Return the body of a not-ready answer, whose headers keep every cache away from it."""
    assert answer.status == 503
    assert answer.header("cache-control") == NO_STORE
    assert answer.header("retry-after") == "5"
    assert not {"etag", "last-modified", "accept-ranges"} & answer.names()
    body: dict[str, object] = answer.json()
    assert body["object"] == "health.response"
    assert body["status"] == "not_ready"
    return body


async def refuse(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")


async def stay_silent(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def test_live_is_the_documented_61_bytes(stack: GatewayStack) -> None:
    assert len(LIVE) == 61
    documented(await stack.ask("/v1/health/live"), LIVE)
    assert stack.engine.connections == stack.middleware.connections == 0


async def test_ready_is_the_documented_63_bytes_and_asks_the_engine(stack: GatewayStack) -> None:
    assert len(READY) == 63
    documented(await stack.ask("/v1/health/ready"), READY)
    [asked] = stack.engine.received
    assert (asked.method, asked.target, asked.body) == ("GET", "/health", b"")
    assert stack.middleware.connections == 0


async def test_live_needs_neither_engine_nor_middleware(stack: GatewayStack) -> None:
    await stack.engine.close()
    await stack.middleware.close()
    documented(await stack.ask("/v1/health/live"), LIVE)


async def test_not_ready_shows_what_the_guard_wrote_and_nothing_older(stack: GatewayStack) -> None:
    await stack.engine.close()
    file = stack.nginx.run_dir / "not_ready.json"
    for phase in ("fetch", "load"):
        health = {"object": "health.response", "message": phase, "status": "not_ready", "phase": phase}
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps(health), encoding="utf-8")
        fresh.rename(file)
        answer = await stack.ask(
            "/v1/health/ready", headers={"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}
        )
        assert not_ready(answer) == health


async def test_not_ready_before_anything_was_written(stack: GatewayStack) -> None:
    await stack.engine.close()
    body = not_ready(await stack.ask("/v1/health/ready"))
    assert (body["phase"], body["progress"], body["eta_seconds"]) == ("unknown", None, None)


@pytest.mark.parametrize("answering", [refuse, stay_silent])
async def test_not_ready_when_the_engine_refuses_or_hangs(stack: GatewayStack, answering: object) -> None:
    stack.engine.answering = answering  # type: ignore[assignment]
    not_ready(await stack.ask("/v1/health/ready"))


async def test_an_engine_that_is_late_is_busy_while_it_serves(stack: GatewayStack) -> None:
    """Whether it is stalled is judged over a longer time; a refusal is judged at once."""
    stack.engine.answering = stay_silent
    not_ready(await stack.ask("/v1/health/ready"))
    (stack.nginx.run_dir / "serving").touch()
    documented(await stack.ask("/v1/health/ready"), READY)
    stack.engine.answering = refuse
    not_ready(await stack.ask("/v1/health/ready"))
    stack.engine.answering = stay_silent
    (stack.nginx.run_dir / "stalled").touch()
    not_ready(await stack.ask("/v1/health/ready"))
    await stack.engine.close()
    (stack.nginx.run_dir / "stalled").unlink()
    not_ready(await stack.ask("/v1/health/ready"))


@pytest.mark.parametrize("name", ["draining", "stalled"])
async def test_not_ready_while_a_flag_file_exists_whatever_the_engine_answers(
    stack: GatewayStack, name: str
) -> None:
    file = stack.nginx.run_dir / name
    file.touch()
    not_ready(await stack.ask("/v1/health/ready"))
    assert stack.engine.received == []
    documented(await stack.ask("/v1/health/live"), LIVE)
    file.unlink()
    documented(await stack.ask("/v1/health/ready"), READY)


async def test_ready_again_as_soon_as_the_engine_is_back(stack: GatewayStack) -> None:
    await stack.engine.close()
    not_ready(await stack.ask("/v1/health/ready"))
    stack.nginx.engine_socket.unlink(missing_ok=True)
    await stack.engine.listen(stack.nginx.engine_socket)
    documented(await stack.ask("/v1/health/ready"), READY)


@pytest.mark.parametrize(("path", "body"), [("/v1/health/live", LIVE), ("/v1/health/ready", READY)])
async def test_head_and_options(stack: GatewayStack, path: str, body: bytes) -> None:
    head = await stack.ask(path, method="HEAD")
    assert (head.status, head.body, head.header("content-length")) == (200, b"", str(len(body)))
    options = await stack.ask(path, method="OPTIONS")
    assert (options.status, options.header("allow"), options.body) == (204, "GET, HEAD, OPTIONS", b"")


async def test_head_of_not_ready(stack: GatewayStack) -> None:
    (stack.nginx.run_dir / "draining").touch()
    answer = await stack.ask("/v1/health/ready", method="HEAD")
    assert (answer.status, answer.body) == (503, b"")


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT"])
async def test_other_methods_are_refused_with_those_allowed(stack: GatewayStack, method: str) -> None:
    for path in ("/v1/health/live", "/v1/health/ready"):
        answer = await stack.ask(path, method=method, body=b"{}")
        assert (answer.status, answer.header("allow")) == (405, "GET, HEAD, OPTIONS")
        assert answer.json()["error"]["code"] == "method_not_allowed"


async def test_health_port_answers_health_and_nothing_else(build: Build) -> None:
    port = free_port()
    stack = await build(health_port=port)
    documented(await ask(port, "/v1/health/live"), LIVE)
    documented(await ask(port, "/v1/health/ready"), READY)
    assert (await ask(port, "/v1/health/startup")).status == 200
    for path in ("/v1/models", "/v1/metadata", "/v1/metrics", "/health", "/"):
        assert (await ask(port, path)).json()["error"]["code"] == "not_found"
    documented(await stack.ask("/v1/health/ready"), READY)


async def test_idle_clients_make_way_for_probes(build: Build) -> None:
    health_port = free_port()
    stack = await build(connections=128, health_port=health_port)
    async with AsyncExitStack() as clients:
        for _ in range(400):
            client = await clients.enter_async_context(connected(stack.port))
            await client.request("GET", "/v1/models")
            assert (await client.answer()).header("connection") == "keep-alive"
        for port in (stack.port, health_port):
            documented(await ask(port, "/v1/health/live"), LIVE)
            documented(await ask(port, "/v1/health/ready"), READY)


async def answers(port: int) -> bool:
    """Return whether a probe finds a place."""
    try:
        return (await ask(port, "/v1/health/live")).status == 200
    except (ConnectionError, h11.RemoteProtocolError):
        return False


async def test_half_sent_headers_do_not_shut_the_health_port_out(build: Build) -> None:
    """They take every place of the API's port, since nginx counts only requests with whole headers."""
    health_port = free_port()
    stack = await build(connections=128, health_port=health_port, header_timeout_seconds=600)
    async with AsyncExitStack() as clients, asyncio.timeout(4 * PATIENCE_SECONDS):
        while await answers(stack.port):
            client = await clients.enter_async_context(connected(stack.port))
            await client.send(b"GET /v1/models HTTP/1.1\r\nHost: a\r\n")
        for _ in range(1_600):
            client = await clients.enter_async_context(connected(stack.port))
            with suppress(ConnectionError):
                await client.send(b"GET /v1/models HTTP/1.1\r\nHost: a\r\n")
        assert not await answers(stack.port)
        for _ in range(20):
            documented(await ask(health_port, "/v1/health/live"), LIVE)
            documented(await ask(health_port, "/v1/health/ready"), READY)


async def test_half_sent_headers_give_their_places_back(build: Build) -> None:
    stack = await build(connections=128, header_timeout_seconds=3)
    async with AsyncExitStack() as clients, asyncio.timeout(2 * PATIENCE_SECONDS):
        while await answers(stack.port):
            client = await clients.enter_async_context(connected(stack.port))
            await client.send(b"GET /v1/models HTTP/1.1\r\nHost: a\r\n")
        while not await answers(stack.port):  # noqa: ASYNC110 - nginx sets no event
            await asyncio.sleep(0.05)


async def test_probes_leave_no_line_in_the_log_whatever_they_find(build: Build) -> None:
    stack = await build(health_port=free_port())
    for path in ("/v1/health/live", "/v1/health/ready", "/v1/health/startup"):
        await stack.ask(path)
    await stack.engine.close()
    await stack.ask("/v1/health/ready")
    (stack.nginx.run_dir / "not_ready.json").write_text("{}", encoding="utf-8")
    await stack.ask("/v1/health/ready")
    await stack.ask("/v1/models")
    [line] = await stack.nginx.logged_json(1)
    assert line["message"] == "GET /v1/models"
    assert "/health" not in stack.nginx.errors()
