"""Thousands of silent streams are held, and all are noticed when their clients leave."""

import asyncio
import resource

import pytest

from tests.fakes.launch import wait_until
from tests.proxy.conftest import StartBackend, StartProxy, backends, served
from tests.proxy.running import Proxy
from tests.proxy.test_streams import BODY

STREAMS, AT_ONCE = 5000, 100
# One worker of nginx may get nearly all streams; each is two connections.
CONNECTIONS = 2 * STREAMS + 1000
# As many as nginx wants for them. The client's connections and the backends' are of this process.
OPEN_FILES = CONNECTIONS * 8 // 5

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def raise_limit() -> None:
    """Allow this process, and those it starts, as many files as are needed; skip where that is forbidden."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < OPEN_FILES:
        pytest.skip(f"no {OPEN_FILES} open files are allowed here: ulimit -Hn is {hard}")
    if soft < OPEN_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, hard))


async def open_stream(proxy: Proxy, free: asyncio.Semaphore, opened: list[Stream]) -> None:
    """Open a stream, and read up to its first event."""
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(BODY)}\r\n\r\n"
    )
    async with free:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        opened.append((reader, writer))
        writer.write(head.encode() + BODY)
        assert b" 200 " in await reader.readline()
        while not (await reader.readline()).startswith(b"data: "):
            pass


@pytest.mark.slow
async def test_silent_streams_are_held_and_their_ends_noticed(
    start_backend: StartBackend, start_proxy: StartProxy
) -> None:
    raise_limit()
    one, other = start_backend("org/b"), start_backend("org/b")
    for each in (one, other):
        each.mood.event_pause = 3600.0
    proxy = start_proxy(backends(served("b", one, other)), NIM_PROXY_CONNECTIONS=str(CONNECTIONS)).wait_ready(
        2
    )
    free, streams = asyncio.Semaphore(AT_ONCE), list[Stream]()
    try:
        await asyncio.gather(*(open_stream(proxy, free, streams) for _ in range(STREAMS)))
        assert (one.running, other.running) == (STREAMS // 2, STREAMS // 2)
        assert all(not reader.at_eof() for reader, _ in streams)
        assert (await asyncio.to_thread(proxy.chat, "org/b")).status == 200
    finally:
        for _, writer in streams:
            writer.close()
    await asyncio.to_thread(wait_until, lambda: one.running + other.running == 0, "the streams' ends")
    assert one.closed_early + other.closed_early == STREAMS
    await asyncio.to_thread(wait_until, lambda: running(proxy) == 0, "the counts")
    assert await asyncio.to_thread(proxy.stop) == 0, proxy.text


def running(proxy: Proxy) -> int:
    """Return the requests that the router counts as running."""
    return sum(each["running"] for one in proxy.backends() for each in one["replicas"])
