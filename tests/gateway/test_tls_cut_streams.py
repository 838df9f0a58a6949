"""What a client over TLS gets of an answer that breaks off behind the gateway, judged by OpenSSL's client."""

import asyncio
from pathlib import Path

import pytest

from nim.plan import Tls
from tests.certificates import Authority
from tests.gateway.conftest import Build
from tests.gateway.nginx import PATIENCE_SECONDS
from tests.gateway.upstream import EVENT_STREAM, Received, chunk

BODY = b"data: 1\n\n"
WITH_LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nContent-Type: application/json\r\n\r\n" + BODY
CLOSE_NOTIFY = b"Alert [length 0002], warning close_notify"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "tls")


@pytest.mark.parametrize(
    ("version", "answer", "is_seen_as_cut"),
    [
        ("1.1", EVENT_STREAM + chunk(BODY), b"Transfer-Encoding: chunked"),
        ("1.1", WITH_LENGTH, b"Content-Length: 1000"),
        ("1.0", WITH_LENGTH, b"Content-Length: 1000"),
        ("1.0", EVENT_STREAM + chunk(BODY), None),
    ],
)
async def test_the_framing_shows_that_an_answer_was_cut(
    build: Build, authority: Authority, version: str, answer: bytes, is_seen_as_cut: bytes | None
) -> None:
    """nginx ends TLS in order in each case. To HTTP/1.0, a stream has no framing: docs/security.md."""
    pair = authority.issue("service")
    stack = await build(tls=Tls(certificates=pair.certificate, key=pair.key))

    async def break_off(
        request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(answer)
        await writer.drain()
        raise ConnectionError

    stack.engine.answering = break_off
    found = await spoken(stack.port, f"GET /v1/models HTTP/{version}\r\nHost: a\r\nConnection: close\r\n\r\n")
    head, _, rest = found[found.index(b"HTTP/1.1 200") :].partition(b"\r\n\r\n")
    assert BODY in rest
    assert CLOSE_NOTIFY in rest
    assert b"\r\n0\r\n" not in rest
    framing = [line for line in head.split(b"\r\n") if line.startswith((b"Transfer-", b"Content-Length"))]
    assert framing == ([is_seen_as_cut] if is_seen_as_cut else [])


async def spoken(port: int, request: str) -> bytes:
    """Return what OpenSSL's client prints of one request: the answer, and TLS messages."""
    pipe = asyncio.subprocess.PIPE
    command = ["openssl", "s_client", "-quiet", "-ign_eof", "-msg", "-connect", f"127.0.0.1:{port}"]
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    assert process.stdin
    assert process.stdout
    process.stdin.write(request.encode())
    async with asyncio.timeout(PATIENCE_SECONDS):
        found = await process.stdout.read()
        await process.wait()
    return found
