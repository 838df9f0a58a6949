"""API keys and limits of a real nginx: who is let through, what the log shows, what the engine receives."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from nim.plan import ApiKeys, Limits
from nim.planning.read_host_facts import find_lua_modules
from nim.preflight.read_api_keys_file import digest_of
from nim.routes import ALWAYS_OPEN, Target, open_routes
from tests.gateway.client import Answer, connected, tell
from tests.gateway.conftest import Build, GatewayStack
from tests.gateway.nginx import ALL_GROUPS, PATIENCE_SECONDS, until
from tests.gateway.upstream import Received, answer_ok

MODULES = find_lua_modules()
KEY, OTHER_KEY, WRONG_KEY = "nim-right-key", "nim-other-key", "nim-wrong-key"
BEARER = {"Authorization": f"Bearer {KEY}"}
# A key in each way that must not be accepted.
REFUSED: dict[str, dict[str, str]] = {
    "none": {},
    "wrong": {"Authorization": f"Bearer {WRONG_KEY}"},
    "wrong x-api-key": {"x-api-key": WRONG_KEY},
    "removed": {"Authorization": "Bearer nim-removed-key"},
    "without scheme": {"Authorization": KEY},
    "another scheme": {"Authorization": f"Basic {KEY}"},
    "digest": {"Authorization": f"Bearer {digest_of(KEY)}"},
    "prefix": {"Authorization": f"Bearer {KEY[:-1]}"},
    "suffix": {"Authorization": f"Bearer {KEY}x"},
    "very long": {"Authorization": f"Bearer {KEY * 2000}"},
    "empty": {"Authorization": "Bearer ", "x-api-key": ""},
    "name": {"x-api-key": "alice"},
    "not ASCII": {"x-api-key": "cl\u00e9"},
    "tab for a space": {"Authorization": f"Bearer\t{KEY}"},
    "tab after it": {"Authorization": f"Bearer {KEY}\t"},
    "two in one header": {"Authorization": f"Bearer {WRONG_KEY}, Bearer {KEY}"},
    "underscores": {"x_api_key": KEY},
}
ACCEPTED: dict[str, dict[str, str]] = {
    "bearer": BEARER,
    "x-api-key": {"x-api-key": KEY},
    "scheme in lower case": {"authorization": f"bearer {KEY}"},
    "several spaces": {"Authorization": f"Bearer   {KEY}  "},
    "another key": {"x-api-key": OTHER_KEY},
    "one right of two": {"Authorization": f"Bearer {WRONG_KEY}", "x-api-key": KEY},
}

pytestmark = pytest.mark.skipif(not MODULES, reason="nginx's Lua module is not installed")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The run directory, with the digests as the launcher writes them."""
    lines = [f"alice {digest_of(KEY)}", f"bob {digest_of(OTHER_KEY)}"]
    (tmp_path / "api_keys").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.fixture
async def guarded(build: Build, directory: Path) -> GatewayStack:
    """A gateway whose routes need a key, all groups open."""
    return await build(api_keys=_keys(), route_groups=ALL_GROUPS)


def _keys(*exempt: str) -> ApiKeys:
    return ApiKeys(file="/unread", from_environment=False, exempt=exempt, nginx_modules=MODULES)


def guarded_routes() -> Iterator[tuple[str, str]]:
    """Yield the method and a path of each open route that is not health, nor the router's name for it."""
    for route in open_routes(ALL_GROUPS):
        if route.group not in ALWAYS_OPEN and route.target is not Target.GATEWAY and not route.websocket:
            yield route.methods[0], route.path.replace("{response_id}", "resp_1")


@pytest.mark.parametrize("headers", REFUSED.values(), ids=REFUSED)
async def test_no_route_is_open_without_a_key_that_is_known(
    guarded: GatewayStack, headers: dict[str, str]
) -> None:
    for method, path in guarded_routes():
        for spelling in (
            path,
            f"{path}/",
            f"/{path}",
            path.replace("v1", "%761", 1),
            f"{path}?api_key={KEY}",
        ):
            answer = await guarded.ask(spelling, method=method, headers=headers)
            assert answer.status in (401, 404), (method, spelling)
    assert guarded.engine.received == guarded.middleware.received == []


@pytest.mark.parametrize("headers", ACCEPTED.values(), ids=ACCEPTED)
async def test_a_known_key_opens_every_route(guarded: GatewayStack, headers: dict[str, str]) -> None:
    for method, path in guarded_routes():
        answer = await guarded.ask(path, method=method, headers=headers)
        assert answer.status == 200, (method, path)


async def test_a_header_of_spaces_does_not_occupy_the_gateway(guarded: GatewayStack) -> None:
    """A pattern that tries again from each of 60,000 places took eight seconds, and nginx is one process."""
    spaces = "Bearer x" + " " * 60_000 + "x"
    async with asyncio.timeout(PATIENCE_SECONDS):  # two minutes, if it is tried again each time
        for _ in range(15):
            assert (await guarded.ask("/v1/models", headers={"Authorization": spaces})).status == 401


async def test_of_two_authorization_headers_none_is_chosen(guarded: GatewayStack) -> None:
    for first, second in ((KEY, WRONG_KEY), (WRONG_KEY, KEY)):
        pair = f"Authorization: Bearer {first}\r\nAuthorization: Bearer {second}\r\n"
        request = f"GET /v1/models HTTP/1.1\r\nHost: gateway.test\r\n{pair}\r\n"
        assert (await tell(guarded.port, request.encode())).status in (400, 401)
    assert guarded.engine.received == []


async def test_a_key_serves_its_own_request_only(guarded: GatewayStack) -> None:
    """Two requests in one write, the second without a key, and once as the body of the first."""
    lines = f"Host: gateway.test\r\nAuthorization: Bearer {KEY}\r\n"
    second = b"GET /v1/models HTTP/1.1\r\nHost: gateway.test\r\n\r\n"
    async with connected(guarded.port) as client:
        await client.send(f"GET /v1/models HTTP/1.1\r\n{lines}\r\n".encode() + second)
        assert [(await client.answer()).status, (await client.answer()).status] == [200, 401]
    head = f"POST /v1/chat/completions HTTP/1.1\r\n{lines}Content-Length: {len(second)}\r\n\r\n"
    await tell(guarded.port, head.encode() + second, method="POST")
    assert [request.target for request in guarded.engine.received] == ["/v1/models", "/v1/chat/completions"]


async def test_the_websocket_route_needs_a_key(guarded: GatewayStack) -> None:
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
    assert (await guarded.ask("/v1/realtime", headers=upgrade)).status == 401
    assert guarded.engine.received == []
    await guarded.ask("/v1/realtime", headers=upgrade | BEARER)
    (received,) = guarded.engine.received
    assert ("upgrade", "websocket") in received.headers
    assert "authorization" not in dict(received.headers)


async def test_health_needs_no_key(guarded: GatewayStack) -> None:
    for path in ("/v1/health/live", "/v1/health/ready", "/v1/health/startup"):
        assert (await guarded.ask(path)).status == 200


async def test_neither_the_engine_nor_the_middleware_receives_a_key(guarded: GatewayStack) -> None:
    for path in ("/v1/models", "/v1/metadata"):
        await guarded.ask(path, headers={**BEARER, "x-api-key": OTHER_KEY})
    received = (*guarded.engine.received, *guarded.middleware.received)
    assert len(received) == 2
    for request in received:
        assert not {"authorization", "x-api-key"} & {name.lower() for name, _ in request.headers}


async def test_the_refusal_has_the_form_of_the_client_s_api(guarded: GatewayStack) -> None:
    openai = await guarded.ask("/v1/chat/completions", method="POST")
    assert openai.header("www-authenticate") == "Bearer"
    assert openai.json()["error"]["code"] == "invalid_api_key"
    anthropic = await guarded.ask("/v1/messages", method="POST")
    assert anthropic.json()["type"] == "error"
    assert anthropic.json()["error"]["type"] == "authentication_error"


async def test_the_methods_of_a_route_are_told_without_a_key(guarded: GatewayStack) -> None:
    assert (await guarded.ask("/v1/models", method="OPTIONS")).status == 204


async def test_options_brings_no_body_without_a_key(guarded: GatewayStack) -> None:
    path = "/v1/chat/completions"
    assert (await guarded.ask(path, method="OPTIONS", body=b"{}")).status == 401
    request = f"OPTIONS {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert (
        await tell(guarded.port, request.encode() + b"2\r\n{}\r\n0\r\n\r\n", method="OPTIONS")
    ).status == 401
    assert guarded.engine.received == []
    assert (await guarded.ask(path, method="OPTIONS", headers=BEARER, body=b"{}")).status == 204


async def test_no_other_header_passes_for_the_name_of_a_key(guarded: GatewayStack) -> None:
    for value in ("1:alice", "chunked:alice", ":alice", "alice"):
        request = f"POST /v1/models HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {value}\r\n\r\n"
        assert (await tell(guarded.port, request.encode(), method="POST")).status in (400, 401, 501)
    assert guarded.engine.received == []


async def test_exempt_routes_need_no_key(build: Build, directory: Path) -> None:
    stack = await build(api_keys=_keys("/v1/metrics", "docs"))
    assert (await stack.ask("/v1/metrics")).status == 200
    assert (await stack.ask("/docs")).status == 200
    assert (await stack.ask("/v1/metadata")).status == 401


async def test_the_log_has_the_name_of_the_key_and_never_the_key(guarded: GatewayStack) -> None:
    await guarded.ask("/v1/models", headers=BEARER)
    await guarded.ask("/v1/models", headers=REFUSED["wrong"])
    await guarded.ask(f"/v1/models?key={OTHER_KEY}")
    lines = await guarded.nginx.logged_json(3)
    assert [line["api_key"] for line in lines] == ["alice", "", ""]
    text = "\n".join(guarded.nginx.logged()) + guarded.nginx.errors()
    assert not any(key in text for key in (KEY, OTHER_KEY, WRONG_KEY))


async def _occupy(
    stack: GatewayStack, gate: asyncio.Event, count: int, headers: dict[str, str]
) -> list["asyncio.Task[Answer]"]:
    """Return requests that the engine has received and answers when the gate is open."""

    async def answer_at_the_gate(
        request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await gate.wait()
        await answer_ok(request, reader, writer)

    stack.engine.answering = answer_at_the_gate
    asked = [asyncio.create_task(stack.ask("/v1/models", headers=headers)) for _ in range(count)]
    await until(lambda: len(stack.engine.received) == count)
    return asked


async def test_requests_of_one_key_at_once_are_limited_and_those_of_others_are_not(
    build: Build, directory: Path
) -> None:
    stack = await build(api_keys=_keys(), limits=Limits(requests_per_key=2))
    gate = asyncio.Event()
    running = await _occupy(stack, gate, 2, BEARER)
    refused = await stack.ask("/v1/models", headers=BEARER)
    assert (refused.status, refused.header("retry-after")) == (429, "1")
    gate.set()
    assert {(await task).status for task in running} == {200}
    assert (await stack.ask("/v1/models", headers={"x-api-key": OTHER_KEY})).status == 200


async def test_all_requests_at_once_are_limited_and_health_is_not_counted(build: Build) -> None:
    stack = await build(limits=Limits(requests=2))
    gate = asyncio.Event()
    running = await _occupy(stack, gate, 2, {})
    assert (await stack.ask("/v1/models")).status == 429
    assert (await stack.ask("/v1/health/live")).status == 200
    gate.set()
    assert {(await task).status for task in running} == {200}


async def test_the_rate_of_one_key_is_limited_after_a_burst(build: Build, directory: Path) -> None:
    stack = await build(api_keys=_keys(), limits=Limits(rate_per_key=3))
    answers = [await stack.ask("/v1/models", headers=BEARER) for _ in range(12)]
    statuses = [answer.status for answer in answers]
    assert statuses[:4] == [200] * 4  # one at once, and a burst of three
    assert statuses.count(429) >= 6
    assert (await stack.ask("/v1/models", headers={"x-api-key": OTHER_KEY})).status == 200
