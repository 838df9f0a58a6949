"""Ambiguous requests are refused, or reach the engine unambiguously."""

import asyncio

import pytest

from tests.gateway.client import connected, tell
from tests.gateway.conftest import GatewayStack
from tests.gateway.upstream import Received

HOST = b"Host: a\r\n"
POST = b"POST /v1/chat/completions HTTP/1.1\r\n" + HOST
# An open route: what is left over and taken for a request reaches the engine, which remembers it.
SECOND = b"GET /v1/models?smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

REFUSED = {
    "length and chunks": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND,
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + SECOND,
    "two lengths": POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd" + SECOND,
    "two equal lengths": POST + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd" + SECOND,
    "list of lengths": POST + b"Content-Length: 4, 4\r\n\r\nabcd" + SECOND,
    "signed length": POST + b"Content-Length: +4\r\n\r\nabcd" + SECOND,
    "negative length": POST + b"Content-Length: -4\r\n\r\nabcd" + SECOND,
    "hex length": POST + b"Content-Length: 0x4\r\n\r\nabcd" + SECOND,
    "huge length": POST + b"Content-Length: 99999999999999999999\r\n\r\nabcd" + SECOND,
    "two encodings": POST
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"
    + SECOND,
    "list of encodings": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + SECOND,
    "unknown encoding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SECOND,
    "vertical tab encoding": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + SECOND,
    "chunks in 1.0": b"POST /v1/completions HTTP/1.0\r\n"
    + HOST
    + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + SECOND,
    "chunks twice": POST
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + SECOND,
    "chunked, chunked": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + SECOND,
    "identity": POST + b"Transfer-Encoding: identity\r\nContent-Length: 4\r\n\r\nabcd" + SECOND,
    "empty encoding": POST + b"Transfer-Encoding:\r\nContent-Length: 4\r\n\r\nabcd" + SECOND,
    "quoted encoding": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n' + SECOND,
    "encoding with a parameter": POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n" + SECOND,
    "empty length": POST + b"Content-Length:\r\n\r\nabcd" + SECOND,
    "length with a space": POST + b"Content-Length: 4 4\r\n\r\nabcd" + SECOND,
    "length in other digits": POST + "Content-Length: ٤\r\n\r\nabcd".encode() + SECOND,
    "chunk size with 0x": POST + b"Transfer-Encoding: chunked\r\n\r\n0x4\r\nabcd\r\n0\r\n\r\n" + SECOND,
    "chunk size with a plus": POST + b"Transfer-Encoding: chunked\r\n\r\n+4\r\nabcd\r\n0\r\n\r\n" + SECOND,
    "empty chunk size": POST + b"Transfer-Encoding: chunked\r\n\r\n\r\nabcd\r\n0\r\n\r\n" + SECOND,
    "folded first header": b"GET /v1/models HTTP/1.1\r\n Host: a\r\n\r\n",
    "bare CR ends the request line": b"GET /v1/models HTTP/1.1\rHost: a\r\n\r\n",
    "authority": b"GET gateway.test:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "bad chunk size": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabcd\r\n0\r\n\r\n" + SECOND,
    "negative chunk size": POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nabcd\r\n0\r\n\r\n" + SECOND,
    "huge chunk size": POST
    + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabcd\r\n0\r\n\r\n"
    + SECOND,
    "chunk longer than told": POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n0\r\n\r\n" + SECOND,
    "space before colon": POST + b"Content-Length : 4\r\nTransfer-Encoding : chunked\r\n\r\nabcd" + SECOND,
    "no host": b"GET /v1/models HTTP/1.1\r\n\r\n",
    "nul in header": POST + b"X-A: a\x00b\r\n\r\n" + SECOND,
    "bare CR in header": POST + b"X-A: a\rContent-Length: 4\r\n\r\n" + SECOND,
    "control in request line": b"GET /v1/mo\x01dels HTTP/1.1\r\n" + HOST + b"\r\n",
    "space in target": b"GET /v1/models x HTTP/1.1\r\n" + HOST + b"\r\n",
    "CONNECT": b"CONNECT 127.0.0.1:8001 HTTP/1.1\r\n" + HOST + b"\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}

# What is left of the request when the gateway has read it: method, target, body.
NORMALISED = {
    "bare LF": (b"GET /v1/models HTTP/1.1\nHost: a\n\n", ("GET", "/v1/models", b"")),
    "two hosts": (b"GET /v1/models HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", ("GET", "/v1/models", b"")),
    "folded header": (
        b"GET /v1/models HTTP/1.1\r\nHost: a\r\nX-A: b\r\n Content-Length: 40\r\n\r\n",
        ("GET", "/v1/models", b""),
    ),
    "chunk extension": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n4;a=b\r\nabcd\r\n0\r\nX-T: 1\r\n\r\n",
        ("POST", "/v1/chat/completions", b"abcd"),
    ),
    "chunks with bare LF": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n4\nabcd\n0\n\n",
        ("POST", "/v1/chat/completions", b"abcd"),
    ),
    "encoding with spaces behind": (
        POST + b"Transfer-Encoding:   chunked \t\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
        ("POST", "/v1/chat/completions", b"abcd"),
    ),
    "length with zeros and spaces": (
        POST + b"Content-Length:   0004  \r\n\r\nabcd",
        ("POST", "/v1/chat/completions", b"abcd"),
    ),
    "trailer that is a length": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\nContent-Length: 40\r\nHost: b\r\n\r\n",
        ("POST", "/v1/chat/completions", b"abcd"),
    ),
    "long chunk extension": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n4;" + b"x" * 9000 + b"\r\nabcd\r\n0\r\n\r\n",
        ("POST", "/v1/chat/completions", b"abcd"),
    ),
    "header name with a space": (
        b"GET /v1/models HTTP/1.1\r\nHost: a\r\nX Y: 1\r\n\r\n",
        ("GET", "/v1/models", b""),
    ),
    "header without a colon": (
        b"GET /v1/models HTTP/1.1\r\nHost: a\r\nContent-Length\r\n\r\n",
        ("GET", "/v1/models", b""),
    ),
    "header without a name": (
        b"GET /v1/models HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
        ("GET", "/v1/models", b""),
    ),
    "empty lines before it": (
        b"\r\n\r\nGET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n",
        ("GET", "/v1/models", b""),
    ),
    "line ends in the query stay encoded": (
        b"GET /v1/models?a=%0d%0aX-Y:%201 HTTP/1.1\r\nHost: a\r\n\r\n",
        ("GET", "/v1/models?a=%0d%0aX-Y:%201", b""),
    ),
    "HTTP/1.0": (b"GET /v1/models HTTP/1.0\r\nHost: a\r\n\r\n", ("GET", "/v1/models", b"")),
    "later version": (b"GET /v1/models HTTP/1.10\r\nHost: a\r\n\r\n", ("GET", "/v1/models", b"")),
    "HTTP/1.0 without a host": (b"GET /v1/models HTTP/1.0\r\n\r\n", ("GET", "/v1/models", b"")),
    "other host in the target": (
        b"GET http://b/v1/models HTTP/1.1\r\nHost: a\r\n\r\n",
        ("GET", "/v1/models", b""),
    ),
    "body with GET": (
        b"GET /v1/models HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd",
        ("GET", "/v1/models", b"abcd"),
    ),
    "odd case": (
        POST + b"tRANSFER-eNCODING: CHUNKED\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
        ("POST", "/v1/chat/completions", b"abcd"),
    ),
    "underscore is no dash": (
        POST + b"Content_Length: 4\r\nTransfer_Encoding: chunked\r\nContent-Length: 2\r\n\r\nab",
        ("POST", "/v1/chat/completions", b"ab"),
    ),
    "upgrade to HTTP/2": (
        b"GET /v1/models HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
        ("GET", "/v1/models", b""),
    ),
    "connection names a header": (
        b"GET /v1/models HTTP/1.1\r\nHost: a\r\nConnection: close, X-Request-Id\r\n\r\n",
        ("GET", "/v1/models", b""),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_refused_and_never_forwarded(stack: GatewayStack, name: str) -> None:
    method = REFUSED[name].partition(b" ")[0].decode()
    async with connected(stack.port) as client:
        await client.send(REFUSED[name])
        answer = await client.answer("GET" if method == "CONNECT" else method)
        assert await client.ends() == b"", "nothing else is answered"
    assert answer.status in {400, 405, 413, 501, 505}
    assert b"<html" not in answer.body
    assert answer.json()["error"]["request_id"]
    assert stack.engine.received == stack.middleware.received == []


@pytest.mark.parametrize("name", NORMALISED)
async def test_refused_or_one_well_formed_request(stack: GatewayStack, name: str) -> None:
    data, expected = NORMALISED[name]
    answer = await tell(stack.port, data, method=expected[0])
    if answer.status in {400, 501}:
        assert stack.engine.received == []
        return
    assert answer.status == 200
    [received] = stack.engine.received
    assert (received.method, received.target, received.body) == expected
    assert received.header("host") in {"a", "b", "localhost"}
    assert received.header("content-length") == (str(len(expected[2])) if expected[2] else None)
    assert received.header("x-request-id")
    assert not {"upgrade", "connection", "transfer-encoding"} & {key for key, _ in received.headers}


async def test_a_request_without_version_is_refused_or_gets_one(stack: GatewayStack) -> None:
    async with connected(stack.port) as client:
        await client.send(b"GET /v1/models\r\n" + SECOND)
        await client.ends()
    for received in stack.engine.received:
        assert (received.method, received.target, received.header("host")) == (
            "GET",
            "/v1/models",
            "localhost",
        )
    assert len(stack.engine.received) <= 1


async def test_pipelined_requests_arrive_as_two(stack: GatewayStack) -> None:
    one = POST + b"Content-Length: 2\r\n\r\nab"
    async with connected(stack.port) as client:
        await client.send(one + SECOND)
        assert (await client.answer("POST")).status == 200
        assert (await client.answer("GET")).status == 200
    targets = [request.target for request in stack.engine.received]
    assert targets == ["/v1/chat/completions", "/v1/models?smuggled"]


async def test_an_answer_cannot_steer_the_gateway(stack: GatewayStack) -> None:
    async def steer(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\nX-Accel-Redirect: /_health/not_ready\r\nX-Accel-Limit-Rate: 1\r\n"
            b"X-Accel-Buffering: yes\r\nX-Request-Id: other\r\nContent-Length: 2\r\n\r\nok"
        )

    stack.engine.answering = steer
    answer = await stack.ask("/v1/models", headers={"X-Request-Id": "mine"})
    assert (answer.status, answer.body, answer.header("x-request-id")) == (200, b"ok", "mine")
    assert "x-accel-redirect" not in answer.names()
