"""One request id for client, engine, answer and log; the contents of the log."""

import asyncio
import os
import re
import stat
import threading
import time
from pathlib import Path

import pytest

from tests.gateway.client import ask, connected, tell
from tests.gateway.conftest import Build, GatewayStack
from tests.gateway.nginx import Nginx, gateway_of, until
from tests.gateway.upstream import END_OF_STREAM, EVENT_STREAM, Received, Upstream, chunk

MADE = re.compile(r"\d+-\d+-\d+-\d+-\d+\.\d{3}\Z")
PIPE_BUF = 4096


@pytest.mark.parametrize(
    "sane", ["a", "req_0-1.2:3", "x" * 128, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]
)
async def test_a_sane_id_is_taken_everywhere(stack: GatewayStack, sane: str) -> None:
    for path, side in (("/v1/models", stack.engine), ("/v1/metadata", stack.middleware)):
        answer = await stack.ask(path, headers={"X-Request-Id": sane})
        assert answer.header("x-request-id") == answer.header("request-id") == sane
        assert side.received[-1].header("x-request-id") == sane
    missing = await stack.ask("/none", headers={"X-Request-Id": sane})
    assert (
        missing.header("x-request-id")
        == missing.header("request-id")
        == missing.json()["error"]["request_id"]
        == sane
    )
    assert [line["request_id"] for line in await stack.nginx.logged_json(3)] == [sane] * 3


@pytest.mark.parametrize(
    "insane", ["", " ", "x" * 129, "a b", 'a"b', "a/b", "a\tb", "ä", "a,b", "${jndi}", "a\\n"]
)
async def test_any_other_is_replaced(stack: GatewayStack, insane: str) -> None:
    answer = await stack.ask("/v1/models", headers={"X-Request-Id": insane})
    made = answer.header("x-request-id")
    assert made
    assert MADE.match(made)
    assert stack.engine.received[0].header("x-request-id") == made
    [line] = await stack.nginx.logged_json(1)
    assert line["request_id"] == made


async def test_each_request_gets_an_id_of_its_own(build: Build) -> None:
    made: list[str | None] = []
    stack = await build(worker_processes=2)

    async def many() -> None:
        async with connected(stack.port) as client:
            # Refusals cost nginx so little that many fall into one millisecond.
            await client.send(b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n" * 100)
            made.extend([(await client.answer()).header("x-request-id") for _ in range(100)])

    for _ in range(2):
        await asyncio.gather(*(many() for _ in range(10)))
        stack.nginx.stop()
        await stack.nginx.start()
    assert len(set(made)) == len(made) == 2000


async def test_the_engine_gets_the_same_request_id_as_the_client(stack: GatewayStack) -> None:
    answer = await stack.ask("/v1/chat/completions", method="POST", body=b"{}")
    made = answer.header("x-request-id")
    assert made
    assert MADE.match(made)
    assert stack.engine.received[0].header("x-request-id") == made
    [line] = await stack.nginx.logged_json(1)
    assert line["request_id"] == made


UNCERTAIN = [
    b'{"model":"a","request_id":"mine","messages":[]}',
    b'{"messages":[],"request_id":"mine","tools":[]}',
    b'{"request_id":"not well-formed"}',
    b'{"a":1,"request_id":"%b"}' % (b"x" * 129),
    b'{"metadata":{"request_id":"theirs"}}',
    b'{"metadata":{"request_id":"theirs"},"request_id" : "mi\\u006ee"}',
    b'{"metadata":{"request_id":"theirs"},"a":[{"request_id":"theirs"}]}',
]


@pytest.mark.parametrize(
    "body",
    [
        b'{"request_id":"mine"}',
        b'{"model":"a","request_id":"mine"}',
        b' {"request_id" :\n"mine" , "model":"a"}',
        b'{"metadata":{"request_id":"theirs"},"request_id": "mine" }\r\n',
        b'{"prompt":"say \\"request_id\\": \\"no\\"","request_id":"mine"}',
    ],
)
async def test_an_id_in_the_body_is_taken_everywhere(stack: GatewayStack, body: bytes) -> None:
    """vLLM uses the body's id only where there is no header, and sends no header itself."""
    answer = await stack.ask("/v1/chat/completions", method="POST", body=body)
    assert answer.header("x-request-id") == answer.header("request-id") == "mine"
    assert stack.engine.received[0].header("x-request-id") in (None, "mine")
    assert stack.engine.received[0].body == body
    [line] = await stack.nginx.logged_json(1)
    assert line["request_id"] == "mine"


@pytest.mark.parametrize("body", UNCERTAIN)
async def test_an_id_that_may_be_the_bodys_is_left_to_the_engine(stack: GatewayStack, body: bytes) -> None:
    answer = await stack.ask("/v1/chat/completions", method="POST", body=body)
    made = answer.header("x-request-id")
    assert made
    assert MADE.match(made)
    assert stack.engine.received[0].header("x-request-id") is None
    [line] = await stack.nginx.logged_json(1)
    assert line["request_id"] == made


@pytest.mark.parametrize(
    "piece",
    [b'"request_id":"x",', b'{"request_id":"x"', b'"a":"b",', b'"a":"\\\\', b'"request_id":"', b"{", b", "],
)
async def test_no_body_keeps_the_gateway_busy(stack: GatewayStack, piece: bytes) -> None:
    """Nor makes it write the body into its log, as it would if a pattern ran out of memory."""
    for beginning in (b"", b"{", b'{"a":"', b'{"messages":[{"request_id":"x"'):
        body = beginning + piece * (900_000 // len(piece))
        began = time.monotonic()
        assert (await stack.ask("/v1/completions", method="POST", body=body)).status == 200
        assert time.monotonic() - began < 5, "a fraction of a second, if nothing is tried again"
    assert stack.nginx.errors() == ""


async def test_a_header_is_taken_before_any_id_in_the_body(stack: GatewayStack) -> None:
    for body in (b'{"request_id":"mine"}', *UNCERTAIN, b"x" * 3_000_000):
        headers = {"X-Request-Id": "sent"}
        answer = await stack.ask("/v1/completions", method="POST", body=body, headers=headers)
        assert answer.header("x-request-id") == stack.engine.received[-1].header("x-request-id") == "sent"


@pytest.mark.parametrize(
    "body", [b"{}", b'{"prompt":"the \\"request_id\\": \\"no\\""}', b'{"request_id":null}', b'"request_id"']
)
async def test_a_body_without_an_id_gets_the_generated_one(stack: GatewayStack, body: bytes) -> None:
    answer = await stack.ask("/v1/completions", method="POST", body=body)
    assert MADE.match(answer.header("x-request-id") or "")
    assert stack.engine.received[0].header("x-request-id") == answer.header("x-request-id")


async def test_a_body_that_is_in_a_file_is_left_to_the_engine(stack: GatewayStack) -> None:
    body = b'{"prompt":"%b","request_id":"mine"}' % (b"x" * 3_000_000)
    answer = await stack.ask("/v1/completions", method="POST", body=body)
    assert MADE.match(answer.header("x-request-id") or "")
    assert stack.engine.received[0].header("x-request-id") is None
    assert stack.engine.received[0].body == body


async def test_an_id_in_a_body_that_arrives_in_pieces(stack: GatewayStack) -> None:
    head = b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    pieces = [b'{"prompt":"%b",' % (b"x" * 50_000), b'"request', b'_id":"mi', b'ne"}']
    sent = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    answer = await tell(stack.port, head + sent + b"0\r\n\r\n")
    assert answer.header("x-request-id") == "mine"
    assert stack.engine.received[0].body == b"".join(pieces)


async def test_the_middleware_always_gets_the_id(stack: GatewayStack) -> None:
    await stack.ask("/v1/metadata", method="GET", body=UNCERTAIN[0])
    assert MADE.match(stack.middleware.received[0].header("x-request-id") or "")


async def test_a_refusal_before_the_body_is_read_keeps_one_id(build: Build) -> None:
    stack = await build(max_body_size="10")
    body = b'{"prompt":"too long","request_id":"mine"}'
    answer = await stack.ask("/v1/completions", method="POST", body=body)
    assert answer.status == 413
    [line] = await stack.nginx.logged_json(1)
    assert line["request_id"] == answer.header("x-request-id") == answer.json()["error"]["request_id"]


async def test_of_two_ids_at_most_one_arrives(stack: GatewayStack) -> None:
    answer = await tell(
        stack.port, b"GET /v1/models HTTP/1.1\r\nHost: a\r\nX-Request-Id: one\r\nX-Request-Id: two\r\n\r\n"
    )
    [received] = stack.engine.received
    assert received.header("x-request-id") == answer.header("x-request-id")


async def test_trace_context_and_the_clients_own_headers_pass(stack: GatewayStack) -> None:
    headers = {
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "tracestate": "vendor=1",
        "authorization": "Bearer secret",
        "x-api-key": "secret",
        "anthropic-version": "2023-06-01",
        "accept-encoding": "gzip",
        "user-agent": "test/1",
    }
    await stack.ask("/v1/models", headers=headers)
    [received] = stack.engine.received
    assert headers.items() <= dict(received.headers).items()
    assert received.header("host") == "gateway.test"


async def test_server_timing_splits_the_engines_time_from_the_whole(stack: GatewayStack) -> None:
    async def slow(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02 if request.target == "/v1/models" else 1.02)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    stack.engine.answering = slow
    for path, least in (("/v1/models", 20), ("/tokenize", 1020)):
        said = (await stack.ask(path)).header("server-timing")
        assert said
        found = re.fullmatch(r"engine;dur=([0-9]+), total;dur=([0-9]+)", said)
        assert found
        engine, total = int(found[1]), int(found[2])
        assert least - 2 <= engine <= total + 2, "nginx's clock ticks in milliseconds"
    assert "server-timing" not in (await stack.ask("/none")).names()


async def test_a_line_of_json_says_what_happened(stack: GatewayStack) -> None:
    async def stream(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(EVENT_STREAM + chunk(b"data: x\n\n") + END_OF_STREAM)

    stack.engine.answering = stream
    await stack.ask(
        "/v1/chat/completions?api_key=secret", method="POST", body=b"{}", headers={"User-Agent": 'a "b"\\'}
    )
    [line] = await stack.nginx.logged_json(1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", line.pop("time"))
    assert MADE.match(line.pop("request_id"))
    for number in ("bytes", "seconds", "first_byte_seconds", "connection"):
        assert isinstance(line.pop(number), int | float)
    assert line == {
        "level": "INFO",
        "component": "gateway",
        "message": "POST /v1/chat/completions",
        "status": 200,
        "complete": True,
        "client": "127.0.0.1",
        "user_agent": 'a "b"\\',
    }


async def test_refusals_are_logged_as_the_client_asked_them(stack: GatewayStack) -> None:
    await tell(stack.port, b"DELETE /none?secret=1 HTTP/1.1\r\nHost: a\r\n\r\n")
    await tell(stack.port, b"nonsense\r\n\r\n")
    await stack.engine.close()
    stack.nginx.engine_socket.unlink(missing_ok=True)
    await stack.ask("/tokenizer_info")
    lines = await stack.nginx.logged_json(3)
    said = [(line["message"], line["status"], line["level"], line["first_byte_seconds"]) for line in lines]
    assert said == [
        ("DELETE /none", 404, "INFO", None),
        ("-", 400, "INFO", None),
        ("GET /tokenizer_info", 503, "WARNING", None),
    ]


@pytest.mark.parametrize("json_logs", [True, False])
async def test_no_line_is_longer_than_a_pipe_keeps_whole(build: Build, json_logs: bool) -> None:
    stack = await build(options={"json_logs": json_logs})
    path = b"/" + b'\xff\x7f"\\' * 10000
    agent = b'\xfe"\\\x80' * 10000
    answer = await tell(
        stack.port,
        b"GET "
        + path
        + b" HTTP/1.1\r\nHost: a\r\nX-Request-Id: "
        + b"i" * 128
        + b"\r\nUser-Agent: "
        + agent
        + b"\r\n\r\n",
    )
    assert answer.status in {400, 404}
    log = stack.nginx.run_dir / "log/access"
    await until(lambda: log.read_bytes().endswith(b"\n"))
    [line] = log.read_bytes().splitlines(keepends=True)
    assert len(line) <= PIPE_BUF
    assert line.isascii()


async def test_a_line_for_people(build: Build) -> None:
    stack = await build(options={"json_logs": False})
    await stack.ask("/v1/models?key=secret", headers={"X-Request-Id": "mine"})
    await until(lambda: bool(stack.nginx.logged()))
    [line] = stack.nginx.logged()
    assert re.fullmatch(
        r"INFO \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} gateway\] GET /v1/models 200 \d+ bytes [\d.]+ s "
        r"\(first byte [\d.]+ s\) client=127.0.0.1 connection=\d+ request_id=mine",
        line,
    )


async def test_refused_methods_get_the_allowed_methods(stack: GatewayStack) -> None:
    for method in (b"M-SEARCH", b"BASELINE_CONTROL"):
        await tell(stack.port, method + b" /v1/models HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    lines = await stack.nginx.logged_json(2)
    assert [line["message"] for line in lines] == ["M-SEARCH /v1/models", "BASELINE_CONTROL /v1/models"]


async def test_logs_go_through_pipes(tmp_path: Path) -> None:
    """As in the service, where the logs are pipes that PID 1 reads."""
    (tmp_path / "log").mkdir()
    for name in ("nginx", "access"):
        os.mkfifo(tmp_path / "log" / name)
    lines: list[bytes] = []
    reading = os.open(tmp_path / "log/access", os.O_RDWR)
    holding = os.open(tmp_path / "log/nginx", os.O_RDWR)
    nginx = Nginx(run_dir=tmp_path, gateway=gateway_of(worker_processes=2))
    engine = Upstream()
    await engine.listen(nginx.engine_socket)

    def read() -> None:
        with os.fdopen(reading, "rb") as pipe:
            while len(lines) < 40:
                lines.append(pipe.readline())

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert nginx_says_nothing(nginx)
        await nginx.start()
        answers = await asyncio.gather(*(ask(nginx.port, "/tokenizer_info") for _ in range(40)))
        assert {answer.status for answer in answers} == {200}
        await until(lambda: len(lines) == 40)
    finally:
        nginx.stop()
        await engine.close()
        os.close(holding)
    assert all(line.startswith(b'{"time":') and line.endswith(b'"}\n') for line in lines)
    assert stat.S_ISFIFO((tmp_path / "log/access").stat().st_mode)


def nginx_says_nothing(nginx: Nginx) -> bool:
    nginx.write()
    return nginx.test() == ""


async def test_credentials_for_a_proxy_are_not_passed_on(stack: GatewayStack) -> None:
    for path, side in (("/v1/models", stack.engine), ("/v1/metadata", stack.middleware)):
        await stack.ask(path, headers={"Proxy-Authorization": "Basic YTpi"})
        assert side.received[-1].header("proxy-authorization") is None
