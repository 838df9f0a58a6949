"""Only open routes pass, each to its program and under the table's path."""

import pytest

from nim.routes import ALWAYS_OPEN, ROUTES, Group, Route, Target, open_routes
from tests.gateway.client import ask, connected, tell
from tests.gateway.conftest import Build, GatewayStack
from tests.gateway.nginx import ALL_GROUPS, free_port
from tests.gateway.upstream import Upstream

USUAL = ("inference", "docs", "management")
ROUTER = {route.path for route in ROUTES if route.group is Group.ROUTER}


def spelled(route: Route) -> str:
    """Return the route's path with something in its parameters."""
    return route.path.replace("{response_id}", "resp_1a2b").replace("{adapter_name}", "mine")


def behind(stack: GatewayStack, route: Route) -> Upstream:
    return stack.engine if route.target is Target.ENGINE else stack.middleware


@pytest.mark.parametrize("groups", [USUAL, ALL_GROUPS], ids=["usual", "all"])
async def test_every_open_route_reaches_its_program(build: Build, groups: tuple[str, ...]) -> None:
    stack = await build(route_groups=groups)
    for route in open_routes(groups):
        if route.target is Target.GATEWAY:
            continue
        for method in route.methods:
            body = b'{"a":1}' if method == "POST" else None
            answer = await stack.ask(spelled(route) + "?b=%20c&d=/../e", method=method, body=body)
            received = behind(stack, route).received.pop()
            assert (answer.status, answer.body) == (200, b"{}"), route.path
            assert (received.method, received.body) == (method, body or b"")
            assert received.target == spelled(route) + "?b=%20c&d=/../e"


@pytest.mark.parametrize(
    "groups", [(), USUAL, ("inference",), ALL_GROUPS], ids=["none", "usual", "one", "all"]
)
async def test_no_other_route_is_let_through(build: Build, groups: tuple[str, ...]) -> None:
    stack = await build(route_groups=groups)
    closed = {route.path: route for route in ROUTES if route.group not in (*ALWAYS_OPEN, *groups)}
    assert any(route.group is Group.HIDDEN for route in closed.values())
    for route in closed.values():
        for method in ("GET", "POST", "OPTIONS"):
            answer = await stack.ask(spelled(route), method=method)
            assert answer.status == 404, route.path
            assert answer.json()["error"]["type"] in {"invalid_request_error", "not_found_error"}
    assert stack.engine.received == stack.middleware.received == []


@pytest.mark.parametrize(
    "target",
    [
        "/v1",
        "/v1/",
        "/v1/models/x",
        "/v1/models/x/",
        "/v1/models/%0a",
        "/v1/models/%0d",
        "/V1/models",
        "/v1/Models",
        "/v1/models%00",
        "/v1/models;x",
        "/v1/models.json",
        "/v1/models%20",
        "/v1/modelsx",
        "/metrics",
        "/metrics/",
        "/metricsx",
        "//metrics",
        "/%6d%65trics",
        "/v1/models/../../metrics",
        "/v1/models/%2e%2e/%2e%2e/metrics",
        "/v1/models/..%2f..%2fmetrics",
        "/v1/models/..%5c..%5cmetrics",
        "/v1/responses/a/b",
        "/v1/responses/a/b/",
        "/v1/responses/a%0acancel",
        "/v1/responses/a%0a",
        "/v1/responses/..%2f..%2fmetrics",
        "/v1/responses/%252e%252e%252fmetrics",
        "/v1/responses/a%20b",
        "/v1/responses/a%3fb",
        "/v1/responses/a%0d%0aX-Y:%201",
        "/v1/responses/a%00b",
        "/v1/responses/%c0%ae%c0%ae%c0%afmetrics",
        "/v1/responses/%uff0e%uff0e",
        "/v1/models%2f%2e%2e%2f%2e%2e%2fmetrics",
        "/v1/models/%2e%2e;/metrics",
        "/v1/models/.;/..;/metrics",
        "/v1/models/%2e%2e%5cmetrics",
        "/./metrics",
        "/metrics/.",
        "/metrics/%2e",
        "/%2fmetrics",
        "///metrics///",
        "/metrics?/v1/models",
        "/metrics#/v1/models",
        "/METRICS",
        "/metrics%20",
        "/metrics%09",
        "/metrics%ff",
        "http://gateway.test/metrics",
        "http://127.0.0.1:8001/health",
        "http://gateway.test//metrics?x",
        "/_error",
        "/_error/",
        "/_error/middleware/",
        "/_health/engine/",
        "/_health/engine//",
        "/x/../_health/engine/",
        "/%5fhealth/engine/",
        "/_health/not_ready/",
        "/_error/unreachable",
        "/_error/middleware",
        "/_health/engine",
        "/_health/not_ready",
        "/not_ready.json",
        "/status",
        "/nginx.conf",
    ],
)
async def test_no_spelling_gets_around_it(stack: GatewayStack, target: str) -> None:
    (stack.nginx.run_dir / "not_ready.json").write_text("{}", encoding="utf-8")
    answer = await stack.ask(target)
    assert answer.status in {400, 404}
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert stack.engine.received == stack.middleware.received == []


@pytest.mark.parametrize(
    "target",
    [
        "//v1/models",
        "/v1//models",
        "/v1/%6dodels",
        "/v1%2Fmodels",
        "/v1/./models",
        "/v1/x/../models",
        "/metrics/../v1/models",
        "/metrics%2f..%2fv1/models",
        "/%2e/v1/models",
        "/v1/models#fragment",
        "http://elsewhere.test/v1/models",
    ],
)
async def test_what_the_engine_sees_is_the_tables_own_spelling(stack: GatewayStack, target: str) -> None:
    assert (await stack.ask(target + "?q=1" if "#" not in target else target)).status == 200
    [received] = stack.engine.received
    assert received.target.removesuffix("?q=1") == "/v1/models"


@pytest.mark.parametrize(
    ("target", "seen"),
    [
        ("/v1/models/", "/v1/models"),
        ("/v1/models//", "/v1/models"),
        ("/v1/models/?a=/b/", "/v1/models?a=/b/"),
        ("/v1/responses/a/", "/v1/responses/a"),
        ("/v1/responses/a/cancel/?b", "/v1/responses/a/cancel?b"),
        ("/v1/models%2f", "/v1/models"),
    ],
)
async def test_a_slash_at_the_end_makes_no_difference(stack: GatewayStack, target: str, seen: str) -> None:
    assert (await stack.ask(target)).status == 200
    [received] = stack.engine.received
    assert received.target == seen


async def test_a_slash_at_the_end_of_the_middlewares_and_of_health_routes(stack: GatewayStack) -> None:
    assert (await stack.ask("/v1/metadata/")).status == 200
    assert [received.target for received in stack.middleware.received] == ["/v1/metadata"]
    assert (await stack.ask("/v1/health/live/")).json()["status"] == "live"
    assert (await stack.ask("/v1/chat/completions/", method="POST", body=b'{"a":1}')).status == 200
    assert [(received.target, received.body) for received in stack.engine.received] == [
        ("/v1/chat/completions", b'{"a":1}')
    ]


@pytest.mark.parametrize(
    ("target", "instead"),
    [
        ("/health", "/v1/health/ready"),
        ("/health/", "/v1/health/ready"),
        ("/healthz?a=b", "/v1/health/ready"),
        ("/livez", "/v1/health/live"),
        ("/ping", "/v1/health/ready"),
        ("/metrics", "/v1/metrics"),
        ("/version", "/v1/version"),
        ("/redoc", "/docs"),
        ("/models", "/v1/models"),
        ("/chat/completions", "/v1/chat/completions"),
        ("/v1/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/v1/models?a", "/v1/models"),
    ],
)
async def test_a_path_of_another_server_is_answered_with_the_one_to_use(
    stack: GatewayStack, target: str, instead: str
) -> None:
    for method in ("GET", "POST"):
        answer = await stack.ask(target, method=method)
        assert answer.status == 404
        message = answer.json()["error"]["message"]
        path = target.partition("?")[0].rstrip("/")
        group = ", or start the service with NIM_ROUTES=+router" if path in ROUTER else ""
        assert message == f"cannot find this path here; use {instead} instead{group}"


async def test_the_group_router_has_the_engines_names_at_the_root(build: Build) -> None:
    port = free_port()
    stack = await build(route_groups=("inference", "management", "router"), health_port=port)
    ready = await stack.ask("/v1/health/ready")
    health = await stack.ask("/health")
    assert (health.status, health.body) == (ready.status, ready.body) == (200, ready.body)
    for path, side in (("/metrics", stack.middleware), ("/version", stack.engine)):
        assert (await stack.ask(f"{path}?a")).status == 200
        assert side.received[-1].target == f"{path}?a"
    assert (await ask(port, "/health")).status == 404, "of that port only the health routes are known"
    (stack.nginx.run_dir / "draining").touch()
    assert (await stack.ask("/health")).status == 503
    await stack.engine.close()
    (stack.nginx.run_dir / "draining").unlink()
    assert (await stack.ask("/health")).status == 503
    assert (await stack.ask("/ping")).json()["error"]["message"].endswith("use /v1/health/ready instead")


async def test_only_what_is_open_is_named(build: Build) -> None:
    port = free_port()
    stack = await build(route_groups=("inference",), health_port=port)
    assert "open routes; `nim routes` has them" in (await stack.ask("/metrics")).json()["error"]["message"]
    assert "use /v1/models instead" in (await stack.ask("/models")).json()["error"]["message"]
    said = {path: (await ask(port, path)).json()["error"]["message"] for path in ("/health", "/models", "/x")}
    assert "use /v1/health/ready instead" in said["/health"]
    assert "this port has the health routes only" in said["/models"] == said["/x"]


async def test_parameters_keep_their_value(stack: GatewayStack) -> None:
    for path in ("/v1/responses/resp_0-9.A:z", "/v1/responses/resp_0-9.A:z/cancel"):
        assert (await stack.ask(f"{path}?stream=true")).status == 200
    assert (await stack.ask("/v1/responses/%72esp_1")).status == 200
    targets = [request.target for request in stack.engine.received]
    assert targets == [
        "/v1/responses/resp_0-9.A:z?stream=true",
        "/v1/responses/resp_0-9.A:z/cancel?stream=true",
        "/v1/responses/resp_1",
    ]


async def test_methods_of_engine_routes_are_the_engines_business(stack: GatewayStack) -> None:
    for method in ("PUT", "DELETE", "PATCH", "POST"):
        assert (await stack.ask("/v1/models", method=method, body=b"{}")).status == 200
    assert [request.method for request in stack.engine.received] == ["PUT", "DELETE", "PATCH", "POST"]


async def test_head_is_asked_as_get_and_keeps_its_connection(stack: GatewayStack) -> None:
    async with connected(stack.port) as client:
        for method in ("HEAD", "GET", "HEAD"):
            await client.request(method, "/v1/models")
            answer = await client.answer(method)
            assert (answer.status, answer.header("content-length")) == (200, "2")
            assert answer.body == (b"" if method == "HEAD" else b"{}")
    assert [request.method for request in stack.engine.received] == ["GET"] * 3


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/v1/models", "GET, HEAD, OPTIONS"),
        ("/v1/chat/completions", "POST, OPTIONS"),
        ("/v1/responses/a", "GET, HEAD, OPTIONS"),
    ],
)
async def test_options_lists_the_methods(stack: GatewayStack, path: str, allow: str) -> None:
    for headers in ({}, {"Origin": "https://a.test"}, {"Access-Control-Request-Method": "POST"}):
        options = await stack.ask(path, method="OPTIONS", headers=headers)
        assert (options.status, options.header("allow"), options.body) == (204, allow, b"")
        assert options.header("x-request-id")
    assert stack.engine.received == []


@pytest.mark.parametrize("path", ["/v1/models", "/v1/messages", "/v1/metadata", "/v1/health/live", "/none"])
@pytest.mark.parametrize("method", ["FOO", "PROPFIND", "M-SEARCH"])
async def test_an_unknown_method_is_refused(stack: GatewayStack, path: str, method: str) -> None:
    answer = await tell(stack.port, f"{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    expected = {"/none": 404, "/v1/metadata": 405, "/v1/health/live": 405}.get(path, 501)
    assert answer.status == expected
    assert answer.json()["error"]["message"].startswith("cannot ")
    assert answer.header("x-request-id")
    assert stack.engine.received == stack.middleware.received == []


async def test_methods_of_the_services_own_routes(stack: GatewayStack) -> None:
    for path in ("/v1/metadata", "/openapi.json"):
        options = await stack.ask(path, method="OPTIONS")
        assert (options.status, options.header("allow")) == (204, "GET, HEAD, OPTIONS")
        post = await stack.ask(path, method="POST", body=b"{}")
        assert (post.status, post.header("allow")) == (405, "GET, HEAD, OPTIONS")
        assert (await stack.ask(path, method="HEAD")).status == 200
    assert [request.method for request in stack.middleware.received] == ["HEAD", "HEAD"]


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (b"/v1/models", "GET, HEAD, OPTIONS"),
        (b"/v1/chat/completions", "POST, OPTIONS"),
        (b"/v1/chat/completions/?a=b", "POST, OPTIONS"),
        (b"/v1/responses/resp_1/cancel", "POST, OPTIONS"),
        (b"/v1/responses/resp_1", "GET, HEAD, OPTIONS"),
        (b"/v1/health/ready", "GET, HEAD, OPTIONS"),
        (b"/none", "GET, HEAD, OPTIONS"),
    ],
)
async def test_trace_is_refused_everywhere(stack: GatewayStack, path: bytes, allowed: str) -> None:
    answer = await tell(stack.port, b"TRACE " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (answer.status, answer.header("allow")) == (405, allowed)
    assert answer.json()["error"]["code"] == "method_not_allowed"


async def test_connections_are_counted_on_a_socket_of_their_own(stack: GatewayStack) -> None:
    import asyncio

    reader, writer = await asyncio.open_unix_connection(str(stack.nginx.run_dir / "status.sock"))
    writer.write(b"GET /status HTTP/1.0\r\n\r\n")
    page = await reader.read()
    writer.close()
    assert b"server accepts handled requests" in page
