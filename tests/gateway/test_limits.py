"""Limits and time-outs: generous defaults, and each setting takes effect."""

import asyncio
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import h11
import pytest

from tests.gateway.client import connected
from tests.gateway.conftest import Build, GatewayStack
from tests.gateway.nginx import PATIENCE_SECONDS, Nginx, free_port, until
from tests.gateway.upstream import EVENT_STREAM, OK, Received, chunk
from tests.unit.options.gateways import decided

HOUR = 3600
POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n"
MEGABYTE = 1 << 20


def in_force(nginx: Nginx, name: str) -> set[int]:
    """Return a directive's values wherever it stands, in seconds, as nginx itself reads the file."""
    nginx.write()
    said = subprocess.run(nginx.command("-T"), capture_output=True, text=True, check=True).stdout
    return {int(value) for value in re.findall(rf"^\s*{name} ([0-9]+)s;", said, re.MULTILINE)}


def test_default_timeouts_are_hours(tmp_path: Path) -> None:
    gateway, _ = decided({"NIM_SERVER_PORT": str(free_port())})
    nginx = Nginx(run_dir=tmp_path, gateway=gateway)
    assert max(in_force(nginx, "proxy_read_timeout")) >= HOUR
    # The shorter ones are those of the management routes, which never stream.
    assert in_force(nginx, "proxy_read_timeout") - {10, 25} == {4 * HOUR}
    assert in_force(nginx, "proxy_send_timeout") - {10, 25} == {4 * HOUR}
    assert in_force(nginx, "send_timeout") == {4 * HOUR}
    assert in_force(nginx, "keepalive_timeout") == {HOUR, 60, 10}, "clients, engine, middleware"


async def silence(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if request.target == "/v1/chat/completions":
        writer.write(EVENT_STREAM + chunk(b"data: x\n\n"))
    await reader.read()
    raise ConnectionError


async def test_the_read_timeout_cuts_what_is_silent(build: Build) -> None:
    gateway, _ = decided({"NIM_PROXY_READ_TIMEOUT": "2"})
    stack = await build(read_timeout_seconds=gateway.read_timeout_seconds)
    stack.engine.answering = silence
    assert (await stack.ask("/v1/completions", method="POST", body=b"{}")).status == 504
    async with connected(stack.port) as client:
        await client.request("POST", "/v1/chat/completions", body=b"{}")
        with pytest.raises(h11.RemoteProtocolError, match="incomplete"):
            await client.answer("POST")
    assert "upstream timed out" in stack.nginx.errors()


async def test_silence_below_the_read_timeout_cuts_nothing(stack: GatewayStack) -> None:
    stack.engine.answering = silence
    async with connected(stack.port) as client:
        await client.request("POST", "/v1/chat/completions", body=b"{}")
        events = client.events("POST")
        assert isinstance(await anext(events), h11.Response)
        assert isinstance(await anext(events), h11.Data)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(events), 3)


async def test_the_send_timeout_cuts_a_client_that_takes_nothing(build: Build) -> None:
    gone = asyncio.Event()

    async def pour(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(EVENT_STREAM)
        try:
            while True:
                writer.write(chunk(b"x" * MEGABYTE))
                await writer.drain()
        finally:
            gone.set()

    gateway, _ = decided({"NIM_PROXY_SEND_TIMEOUT": "1"})
    stack = await build(send_timeout_seconds=gateway.send_timeout_seconds)
    stack.engine.answering = pour
    async with connected(stack.port) as client:
        await client.request("POST", "/v1/chat/completions", body=b"{}")
        await asyncio.wait_for(gone.wait(), PATIENCE_SECONDS)


@pytest.mark.parametrize(
    ("setting", "part"),
    [
        ("NIM_PROXY_HEADER_TIMEOUT", POST),
        ("NIM_PROXY_HEADER_TIMEOUT", b""),
        ("NIM_PROXY_CLIENT_TIMEOUT", POST + b"Content-Length: 4\r\n\r\nab"),
    ],
    ids=["header", "nothing", "body"],
)
async def test_a_slow_client_is_closed_without_a_word(build: Build, setting: str, part: bytes) -> None:
    """nginx answers no 408: it closes, which the access log tells as 408."""
    gateway, _ = decided({setting: "1s"})
    stack = await build(
        header_timeout_seconds=gateway.header_timeout_seconds,
        client_timeout_seconds=gateway.client_timeout_seconds,
    )
    async with connected(stack.port) as client:
        await client.send(part)
        assert await client.ends() == b""
    if part:
        assert (await stack.nginx.logged_json(1))[0]["status"] == 408
    assert stack.engine.received == []


async def test_the_keepalive_timeout_closes_what_is_idle(build: Build) -> None:
    gateway, _ = decided({"NIM_PROXY_KEEPALIVE_TIMEOUT": "1s"})
    stack = await build(keepalive_timeout_seconds=gateway.keepalive_timeout_seconds)
    async with connected(stack.port) as client:
        await client.request("GET", "/v1/models")
        assert (await client.answer()).header("connection") == "keep-alive"
        assert await client.ends() == b""


@pytest.mark.slow
async def test_the_gateway_leaves_an_idle_connection_before_the_engine_closes_it(build: Build) -> None:
    gateway, _ = decided(engine_keeps="8")
    stack = await build(upstream_keepalive_timeout_seconds=gateway.upstream_keepalive_timeout_seconds)
    stack.engine.idle_limit_seconds = 8.0
    for connections in (1, 2):
        assert (await stack.ask("/tokenizer_info")).status == 200
        assert stack.engine.connections == connections
        await until(lambda connections=connections: stack.engine.left_idle == connections)  # type: ignore[misc]
    assert stack.engine.closed_idle == 0


@pytest.mark.slow
async def test_requests_around_the_end_of_idle_connections_all_pass(build: Build) -> None:
    async def slowly(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.write(OK)

    stack = await build(upstream_keepalive_timeout_seconds=1)
    stack.engine.answering = slowly
    stack.engine.idle_limit_seconds = 8.0
    for pause in (0, 0.97, 0.99, 1.0, 1.01):
        await asyncio.sleep(pause)
        answers = await asyncio.gather(
            *(stack.ask("/v1/completions", method="POST", body=b"{}") for _ in range(20))
        )
        assert {answer.status for answer in answers} == {200}
    assert len(stack.engine.received) == 100, "none was sent twice"
    await until(lambda: stack.engine.left_idle == stack.engine.connections)
    assert stack.engine.closed_idle == 0


def worker(stack: GatewayStack) -> Path:
    """Return the one worker's directory in /proc."""
    assert stack.nginx.program
    master = stack.nginx.program.pid
    [pid] = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    return Path("/proc", pid)


def spooled(stack: GatewayStack) -> int:
    """Return the bytes of request bodies on disk, in unnamed files of nginx."""
    total = 0
    for file in (worker(stack) / "fd").iterdir():
        with suppress(FileNotFoundError):  # it may be closed while we look
            total += file.stat().st_size if "client_body_temp" in str(file.readlink()) else 0
    return total


def most_memory(stack: GatewayStack) -> int:
    """Return the most that the worker ever had in memory, in bytes."""
    return int((worker(stack) / "status").read_text().split("VmHWM:")[1].split()[0]) * 1024


async def test_a_big_body_waits_on_disk_and_not_in_memory(stack: GatewayStack) -> None:
    while_asked: list[int] = []

    async def look(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while_asked.append(spooled(stack))
        writer.write(OK)

    stack.engine.answering = look
    body = b"x" * (100 * MEGABYTE)
    assert (await stack.ask("/v1/chat/completions", method="POST", body=body)).status == 200
    assert while_asked == [len(body)]
    await until(lambda: spooled(stack) == 0)
    assert most_memory(stack) < 50 * MEGABYTE


async def test_a_client_that_leaves_inside_its_body_leaves_nothing_behind(stack: GatewayStack) -> None:
    async with connected(stack.port) as client:
        await client.send(POST + b"Content-Length: 20000000\r\n\r\n" + b"x" * 10_000_000)
        await until(lambda: spooled(stack) > 0)
    await until(lambda: spooled(stack) == 0)
    assert (await stack.ask("/v1/models")).status == 200
    assert [request.target for request in stack.engine.received] == ["/v1/models"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[None]:
    """Yield a disk of one megabyte for bodies, in the run directory that is about to be used."""
    folder = tmp_path / "client_body_temp"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this user may not mount a small disk")
    yield
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.usefixtures("small_disk")
async def test_a_full_disk_is_an_error_in_json_and_small_bodies_pass(build: Build) -> None:
    stack = await build()
    answer = await stack.ask("/v1/chat/completions", method="POST", body=b"x" * (8 * MEGABYTE))
    assert (answer.status, answer.json()["error"]["code"]) == (500, "internal_error")
    assert "has written only" in stack.nginx.errors()
    assert stack.engine.received == []
    small = await stack.ask("/v1/chat/completions", method="POST", body=b"x" * (MEGABYTE // 2))
    assert small.status == 200


@pytest.mark.parametrize("path", ["/tokenize", "/detokenize", "//tokenize", "/tokenize/"])
async def test_the_tokenizer_has_a_limit_of_its_own(build: Build, path: str) -> None:
    stack = await build(max_body_size="2m", tokenizer_body_size="1m")
    body = b" " * (3 << 19)
    refused = await stack.ask(path, method="POST", body=body)
    assert refused.status == 413
    assert "NIM_TOKENIZER_MAX_BODY_SIZE" in refused.json()["error"]["message"]
    assert stack.engine.received == []
    assert (await stack.ask("/v1/chat/completions", method="POST", body=body)).status == 200
    refused = await stack.ask("/v1/chat/completions", method="POST", body=body * 2)
    assert "NIM_PROXY_CLIENT_MAX_BODY_SIZE" in refused.json()["error"]["message"]
