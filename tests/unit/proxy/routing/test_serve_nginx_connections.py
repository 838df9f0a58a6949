"""The connection from nginx: requests in pieces, several at once, and what is none."""

import asyncio
from collections.abc import Awaitable
from typing import Any, cast

from nim.proxy.routing.decider import Decider, Question
from nim.proxy.routing.serve_nginx_connections import BUFFER_BYTES, MOST_KEPT_BYTES, DeciderProtocol


class Echo:
    """Answers each question with the digest of its parts; a path `/slow` is answered later."""

    def decide(self, question: Question) -> bytes | Awaitable[bytes]:
        text = f"<{question.path} {question.key.decode()} {len(question.body)}>".encode()
        return self._later(text) if question.path == "/slow" else text

    async def _later(self, text: bytes) -> bytes:
        await asyncio.sleep(0)
        return text


class Transport:
    def __init__(self) -> None:
        self.written, self.closed = b"", False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True


def connect() -> tuple[DeciderProtocol, Transport]:
    protocol, transport = DeciderProtocol(cast(Decider, Echo()), lambda: True), Transport()
    protocol.connection_made(cast(Any, transport))
    return protocol, transport


def feed(protocol: DeciderProtocol, data: bytes) -> None:
    while data:
        view = protocol.get_buffer(-1)
        count = min(len(view), len(data))
        view[:count] = data[:count]
        data = data[count:]
        protocol.buffer_updated(count)


def request(path: str, key: str, body: bytes) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nX-Nim-Request: {key}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    )


async def test_requests_in_pieces_of_any_size() -> None:
    text = request("/a", "k1", b"x" * 10) + request("/slow", "k2", b"y" * 200_000) + request("/b", "k3", b"")
    for size in (1, 7, 100, 65_536, len(text)):
        if size == 1:
            text_now, wanted = request("/a", "k1", b"xy") * 2, b"</a k1 2></a k1 2>"
        else:
            text_now, wanted = text, b"</a k1 10></slow k2 200000></b k3 0>"
        protocol, transport = connect()
        for at in range(0, len(text_now), size):
            feed(protocol, text_now[at : at + size])
        for _ in range(5):
            await asyncio.sleep(0)
        assert transport.written == wanted


async def test_a_buffer_that_one_request_needed_is_given_back() -> None:
    protocol, _ = connect()
    feed(protocol, request("/a", "k", b"x" * (MOST_KEPT_BYTES + 1)))
    assert len(protocol.get_buffer(-1)) == BUFFER_BYTES


async def test_what_is_no_request_closes_the_connection() -> None:
    for text in (b"nonsense\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"x" * 300_000):
        protocol, transport = connect()
        feed(protocol, text)
        assert transport.closed
        assert transport.written.startswith(b"HTTP/1.1 400 ")
