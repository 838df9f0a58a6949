"""What only the whole service can show: health byte for byte, default-deny, streams event by event."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from bench.service import children
from nim.plan import Plan
from tests.e2e.conftest import Service

pytestmark = pytest.mark.engine
MODEL = "nim/demo"
NO_STORE = "no-store, no-cache, must-revalidate"


def head_and_body(port: int, path: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(("word", "size"), [("live", 61), ("ready", 63)])
@pytest.mark.parametrize("listener", ["port", "health_port"])
def test_health_is_byte_for_byte_as_documented(service: Service, listener: str, word: str, size: int) -> None:
    status, headers, body = head_and_body(getattr(service, listener), f"/v1/health/{word}")
    assert status == 200
    assert body == b'{"object":"health.response","message":"%b","status":"%b"}' % (
        word.encode(),
        word.encode(),
    )
    assert headers["content-length"] == str(size)
    assert headers["content-type"] == "application/json"
    assert headers["cache-control"] == NO_STORE
    assert headers["connection"] == "keep-alive"
    assert headers["server"] == "nginx"
    assert "etag" not in headers
    assert "last-modified" not in headers


def test_the_health_port_answers_nothing_else(service: Service) -> None:
    assert head_and_body(service.health_port, "/v1/models")[0] == 404


@pytest.mark.parametrize(
    "path",
    ["/health", "/metrics", "/version", "/ping", "/load", "/v1/nothing", "/V1/models"],
)
def test_everything_outside_the_table_is_404_in_openais_shape(service: Service, path: str) -> None:
    status, headers, body = head_and_body(service.port, path)
    assert status == 404
    error = json.loads(body)["error"]
    assert error["message"]
    assert error["code"] is not None
    assert headers["x-request-id"] in json.dumps(json.loads(body))


STREAMS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Count to one hundred."}]},
    "/v1/completions": {"prompt": "Once upon a time", "ignore_eos": True},
    "/v1/responses": {"input": "Count to one hundred."},
    "/v1/messages": {"messages": [{"role": "user", "content": "Count to one hundred."}]},
}


@pytest.mark.parametrize("path", STREAMS)
def test_events_arrive_while_the_engine_is_still_writing(service: Service, path: str) -> None:
    limit = {"max_output_tokens": 400} if path == "/v1/responses" else {"max_tokens": 400}
    body = json.dumps({"model": MODEL, "stream": True, "temperature": 0} | limit | STREAMS[path])
    # A gateway that collects leaves one read or two, each time. A busy machine merges many, but not always.
    assert any(len(_reads(service.port, path, body)) >= 4 for _ in range(20))


def _reads(port: int, path: str, body: str) -> list[float]:
    """Return the arrival time of each piece of the answer."""
    request = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body.encode())}\r\nConnection: close\r\n\r\n{body}"
    )
    times = []
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request.encode())
        text = b""
        while piece := connection.recv(65536):
            times.append(time.monotonic())
            text += piece
    assert text.startswith(b"HTTP/1.1 200"), text[:300]
    assert b"text/event-stream" in text
    return times


def test_streams_have_the_header_that_disables_buffering(service: Service) -> None:
    body = json.dumps({"model": MODEL, "stream": True, "prompt": "Once upon a time", "max_tokens": 4})
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["server"] == "nginx"
    answer.read()
    connection.close()


def test_docs_need_no_internet(service: Service) -> None:
    status, page = service.get("/docs")
    assert status == 200
    assert b"<title>nim: nim/demo</title>" in page
    assert b"//" not in page, "an address elsewhere"
    needed = [word.decode() for word in page.split(b'"') if word.endswith((b".js", b".css", b".json"))]
    assert len(needed) >= 3
    for word in needed:
        assert service.get(f"/{word}")[0] == 200, word


def test_the_openapi_document_has_the_management_routes(service: Service) -> None:
    document = service.json("/openapi.json")
    OpenAPIV31SpecValidator(document).validate()
    routes = document["paths"]
    assert {"/v1/chat/completions", "/v1/health/ready", "/v1/metadata", "/v1/manifest"} <= routes.keys()
    assert "/health" not in routes


def test_the_engine_got_exactly_the_arguments_of_the_plan(service: Service) -> None:
    plan = Plan.from_json((service.run_dir / "plan.json").read_text())
    assert plan.engine.socket is not None
    running = _command_lines(service.process.pid)
    assert list(plan.engine.argv) in running


def _command_lines(pid: int) -> list[list[str]]:
    """Return the command line of every descendant."""
    lines = []
    for child in children(pid):
        try:
            lines.append(Path(f"/proc/{child}/cmdline").read_text().split("\0")[:-1])
        except OSError:
            continue
    return lines


def test_nim_routes_knows_every_route_of_the_running_engine(service: Service) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nim", "routes", "--running", "--json"],
        env=os.environ | {"NIM_RUN_DIR": str(service.run_dir)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["in_no_group"] == []
    had = {route["path"] for route in found["routes"] if route["in_engine"]}
    assert {"/v1/chat/completions", "/version", "/ping"} <= had
    described = set(service.json("/openapi.json")["paths"])
    assert had & described == {route["path"] for route in found["routes"] if route["open"]} & had


@pytest.mark.parametrize("method", ["FOO", "QUERY", "DELETE", "HEAD", "OPTIONS"])
def test_odd_methods_are_answered_as_http_has_them(service: Service, method: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    connection.request(method, "/v1/models")
    answer = connection.getresponse()
    connection.close()
    expected = {"FOO": 501, "HEAD": 200, "OPTIONS": 204}.get(method, 405)
    assert answer.status == expected
    assert answer.headers["x-request-id"]
    assert (answer.headers["allow"] or "") == {"OPTIONS": "GET, HEAD, OPTIONS"}.get(
        method, "GET" if expected == 405 else ""
    )
