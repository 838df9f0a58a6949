"""The gateway's errors are JSON in the client's dialect with the request id; engine errors pass."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.gateway.client import Answer, ask, connected, tell
from tests.gateway.conftest import Build, GatewayStack
from tests.gateway.nginx import free_port, until
from tests.gateway.upstream import OK, Received


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Bytes to send to `path`, and what must come back."""

    name: str
    status: int
    code: str
    head: Callable[[str], bytes]


def head(*lines: str) -> Callable[[str], bytes]:
    """Return a request made of these lines, `PATH` in them standing for the path."""
    return lambda path: "\r\n".join([*lines, "", ""]).replace("PATH", path).encode("latin-1")


CASES = [
    Case(name="no such method", status=400, code="bad_request", head=head("g et PATH HTTP/1.1", "Host: a")),
    Case(name="no host", status=400, code="bad_request", head=head("GET PATH HTTP/1.1")),
    Case(name="bad host", status=400, code="bad_request", head=head("GET PATH HTTP/1.1", "Host: a/b")),
    Case(name="nul", status=400, code="bad_request", head=head("GET PATH%00 HTTP/1.1", "Host: a")),
    Case(
        name="above root",
        status=400,
        code="bad_request",
        head=head("GET PATH/../../../../x HTTP/1.1", "Host: a"),
    ),
    Case(name="bad escape", status=400, code="bad_request", head=head("GET PATH%zz HTTP/1.1", "Host: a")),
    Case(
        name="bad length",
        status=400,
        code="bad_request",
        head=head("POST PATH HTTP/1.1", "Host: a", "Content-Length: x"),
    ),
    Case(name="not found", status=404, code="not_found", head=head("GET PATH/none HTTP/1.1", "Host: a")),
    Case(name="trace", status=405, code="method_not_allowed", head=head("TRACE PATH HTTP/1.1", "Host: a")),
    Case(
        name="too large",
        status=413,
        code="request_too_large",
        head=head("POST PATH HTTP/1.1", "Host: a", "Content-Length: 2000000"),
    ),
    Case(
        name="uri too long",
        status=414,
        code="uri_too_long",
        head=head("GET PATH?" + "x" * 70000 + " HTTP/1.1", "Host: a"),
    ),
    Case(
        name="header too large",
        status=431,
        code="header_too_large",
        head=head("GET PATH HTTP/1.1", "Host: a", "X: " + "x" * 70000),
    ),
    Case(
        name="headers too large",
        status=431,
        code="header_too_large",
        head=head("GET PATH HTTP/1.1", "Host: a", *(f"X{i}: " + "x" * 60000 for i in range(9))),
    ),
    Case(
        name="transfer encoding",
        status=501,
        code="not_implemented",
        head=head("POST PATH HTTP/1.1", "Host: a", "Transfer-Encoding: gzip"),
    ),
    Case(
        name="version",
        status=505,
        code="http_version_not_supported",
        head=head("GET PATH HTTP/3.0", "Host: a"),
    ),
]


def openai_error(answer: Answer) -> dict[str, Any]:
    """Return the `error` of an answer in OpenAI's shape."""
    body = answer.json()
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]
    assert set(error) == {"message", "type", "param", "code", "request_id"}
    assert error["message"].startswith("cannot ")
    assert error["param"] is None
    assert error["request_id"] == answer.header("x-request-id")
    return error


def anthropic_error(answer: Answer) -> dict[str, Any]:
    """Return the `error` of an answer in Anthropic's shape."""
    body = answer.json()
    assert set(body) == {"type", "error", "request_id"}
    assert body["type"] == "error"
    assert set(body["error"]) == {"type", "message"}
    assert body["request_id"] == answer.header("x-request-id")
    error: dict[str, Any] = body["error"]
    return error


def of_the_gateway(answer: Answer) -> None:
    """Check what all errors of the gateway have in common."""
    assert answer.header("server") == "nginx"
    assert answer.header("cache-control") == "no-store"
    assert answer.header("x-request-id")
    assert b"<html" not in answer.body


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_refusals_in_openai_shape(build: Build, case: Case) -> None:
    stack = await build(max_body_size="1m")
    answer = await tell(stack.port, case.head("/v1/models"))
    of_the_gateway(answer)
    assert answer.status == case.status
    error = openai_error(answer)
    assert error["code"] == case.code
    assert error["type"] == ("server_error" if case.status >= 500 else "invalid_request_error")
    assert stack.engine.received == []


# Where the request line itself cannot be read, nobody knows whom the client meant to speak to.
UNKNOWN_DIALECT = {"no such method", "version"}


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.name not in UNKNOWN_DIALECT], ids=lambda case: case.name
)
async def test_refusals_in_anthropic_shape(build: Build, case: Case) -> None:
    stack = await build(max_body_size="1m")
    answer = await tell(stack.port, case.head("/v1/messages"))
    of_the_gateway(answer)
    assert answer.status == case.status
    kinds = {404: "not_found_error", 413: "request_too_large", 501: "api_error"}
    assert anthropic_error(answer)["type"] == kinds.get(case.status, "invalid_request_error")


@pytest.mark.parametrize(
    "line",
    [
        "POST //v1/messages HTTP/1.1",
        "POST /v1//messages HTTP/1.1",
        "POST //v1///messages/count_tokens?a=b HTTP/1.1",
        "POST HTTP://a/v1/messages HTTP/1.1",
        "M-SEARCH /v1/messages HTTP/1.1",
        "X_Y /v1/messages HTTP/1.1",
    ],
)
async def test_every_spelling_of_messages_speaks_its_dialect(stack: GatewayStack, line: str) -> None:
    await stack.engine.close()
    answer = await tell(stack.port, f"{line}\r\nHost: a\r\nContent-Length: 0\r\n\r\n".encode())
    assert (answer.status, anthropic_error(answer)["type"]) in {(501, "api_error"), (503, "api_error")}


@pytest.mark.parametrize("target", ["/v1/messages.x", "/v1/messages2", "/v1/message", "/x/v1/messages"])
async def test_other_paths_do_not(stack: GatewayStack, target: str) -> None:
    assert openai_error(await stack.ask(target))["code"] == "not_found"


@pytest.mark.parametrize(
    ("status", "before", "behind"),
    [
        (414, "GET /v1/models?", " HTTP/1.1\r\nHost: a\r\n\r\n"),
        (431, "GET /v1/models HTTP/1.1\r\nHost: a\r\nX: ", "\r\n\r\n"),
    ],
)
async def test_too_long_headers_get_the_limit(
    stack: GatewayStack, status: int, before: str, behind: str
) -> None:
    rest_of_line = len(before.rsplit("\n")[-1] + behind.partition("\n")[0] + "\n")
    fits = 64 * 1024 - rest_of_line
    assert (await tell(stack.port, f"{before}{'x' * fits}{behind}".encode())).status == 200
    answer = await tell(stack.port, f"{before}{'x' * (fits + 1)}{behind}".encode())
    assert answer.status == status
    assert "of more than 64 KB" in openai_error(answer)["message"]


async def test_long_headers_pass_up_to_their_sum(stack: GatewayStack) -> None:
    lines = [f"X{number}: " + "x" * 65_000 for number in range(8)]
    assert (await tell(stack.port, head("GET PATH HTTP/1.1", "Host: a", *lines)("/v1/models"))).status == 200
    refused = await tell(stack.port, head("GET PATH HTTP/1.1", "Host: a", *lines, *lines[:1])("/v1/models"))
    assert refused.status == 431
    assert "more than 512 KB together" in openai_error(refused)["message"]


async def test_no_answer_names_a_program_and_its_version(stack: GatewayStack) -> None:
    for path in ("/v1/models", "/v1/metadata", "/v1/health/live", "/v1/health/ready", "/none"):
        assert (await stack.ask(path)).header("server") == "nginx", path
    assert b"Server: engine/1" in OK, "that is what both behind say"


async def test_chunked_body_over_the_limit(build: Build) -> None:
    stack = await build(max_body_size="1k")
    start = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = await tell(stack.port, start + b"1000\r\n" + b"x" * 0x1000 + b"\r\n0\r\n\r\n", method="POST")
    assert (answer.status, openai_error(answer)["code"]) == (413, "request_too_large")


async def test_the_engine_is_not_up(stack: GatewayStack) -> None:
    await stack.engine.close()
    stack.nginx.engine_socket.unlink(missing_ok=True)
    answer = await stack.ask("/v1/chat/completions", method="POST", body=b"{}")
    of_the_gateway(answer)
    assert (answer.status, answer.header("retry-after")) == (503, "5")
    assert openai_error(answer)["code"] == "engine_unavailable"
    answer = await stack.ask("/v1/messages", method="POST", body=b"{}")
    assert (answer.status, anthropic_error(answer)["type"]) == (503, "api_error")


async def test_the_engine_ends_before_it_answers(stack: GatewayStack) -> None:
    async def leave(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise ConnectionError

    stack.engine.answering = leave
    answer = await stack.ask("/v1/chat/completions", method="POST", body=b"{}")
    of_the_gateway(answer)
    assert (answer.status, answer.header("retry-after")) == (502, None)
    assert openai_error(answer)["code"] == "engine_lost"
    assert len(stack.engine.received) == 1, "a generation is never sent twice"
    answer = await stack.ask("/v1/messages", method="POST", body=b"{}")
    assert (answer.status, anthropic_error(answer)["type"]) == (502, "api_error")


async def test_the_engine_is_silent_for_too_long(build: Build) -> None:
    async def stay_silent(
        request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.read()

    stack = await build(read_timeout_seconds=1)
    stack.engine.answering = stay_silent
    answer = await stack.ask("/v1/completions", method="POST", body=b"{}")
    of_the_gateway(answer)
    assert (answer.status, openai_error(answer)["code"]) == (504, "engine_timeout")
    answer = await stack.ask("/v1/messages/count_tokens", method="POST", body=b"{}")
    assert (answer.status, anthropic_error(answer)["type"]) == (504, "timeout_error")


async def test_the_gateway_itself_fails(stack: GatewayStack) -> None:
    folder = stack.nginx.run_dir / "client_body_temp"
    folder.rmdir()
    folder.touch()
    answer = await stack.ask("/v1/completions", method="POST", body=b"x" * (8 << 20))
    of_the_gateway(answer)
    assert (answer.status, openai_error(answer)["code"]) == (500, "internal_error")
    assert stack.engine.received == []


async def test_the_middleware_is_down(stack: GatewayStack) -> None:
    await stack.middleware.close()
    for path in ("/v1/metadata", "/v1/metrics", "/openapi.json", "/v1/health/startup"):
        answer = await stack.ask(path)
        of_the_gateway(answer)
        assert (answer.status, answer.header("retry-after")) == (503, "1")
        assert openai_error(answer)["code"] == "management_unavailable"


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422, 429, 500, 502, 503, 504])
async def test_the_engines_own_errors_pass_as_they_are(stack: GatewayStack, status: int) -> None:
    body = json.dumps({"error": {"message": f"of the engine: {status}"}}).encode()

    async def fail(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (
            b"HTTP/1.1 %d X" % status,
            b"Content-Type: application/json",
            b"Content-Length: %d" % len(body),
        )
        writer.write(b"\r\n".join([*lines, b"", body]))

    stack.engine.answering = fail
    for path in ("/v1/chat/completions", "/v1/messages"):
        answer = await stack.ask(path, method="POST", body=b"{}")
        assert (answer.status, answer.body) == (status, body)


async def test_too_many_at_once_leaves_connections_for_the_probes(build: Build) -> None:
    stack = await build(connections=128)
    going = asyncio.Event()

    async def wait(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if request.target != "/health":
            await going.wait()
        writer.write(OK)

    stack.engine.answering = wait
    async with asyncio.TaskGroup() as group:
        most = 32
        waiting = [group.create_task(stack.ask("/v1/models")) for _ in range(most)]
        await until(lambda: len(stack.engine.received) == most)
        refused = await stack.ask("/v1/messages", method="POST", body=b"{}")
        assert (refused.status, refused.header("retry-after")) == (429, "1")
        assert anthropic_error(refused)["type"] == "rate_limit_error"
        refused = await stack.ask("/v1/chat/completions", method="POST", body=b"{}")
        error = openai_error(refused)
        assert (refused.status, error["type"], error["code"]) == (
            429,
            "rate_limit_error",
            "too_many_requests",
        )
        assert (await stack.ask("/v1/health/live")).status == 200
        assert (await stack.ask("/v1/health/ready")).status == 200
        assert (await stack.ask("/v1/metadata")).status == 200
        going.set()
    assert {task.result().status for task in waiting} == {200}
    assert (await stack.ask("/v1/models")).status == 200


async def test_a_slow_header_is_cut_without_an_answer(stack: GatewayStack) -> None:
    async with connected(stack.port) as client:
        await client.send(b"GET /v1/models HTTP/1.1\r\nHost: a\r\n")
        client.writer.write_eof()
        assert await client.ends() == b""


async def test_a_404_says_where_the_open_routes_are_listed(build: Build) -> None:
    health = free_port()
    stack = await build(health_port=health)
    assert "GET /openapi.json has them" in (await stack.ask("/none")).body.decode()
    on_health_port = (await ask(health, "/none")).body.decode()
    assert "`nim routes` has the others" in on_health_port
    assert "/openapi.json" not in on_health_port


async def test_a_closed_document_is_not_pointed_at(build: Build) -> None:
    stack = await build(route_groups=("inference",))
    said = (await stack.ask("/none")).body.decode()
    assert "`nim routes` has them" in said
    assert "/openapi.json" not in said
