"""What Chromium lets a page on another origin do: its verdict, not ours, on the gateway's CORS."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nim.plan import ApiKeys, Tls
from nim.planning.read_host_facts import find_lua_modules
from nim.preflight.read_api_keys_file import digest_of
from tests.certificates import Authority
from tests.gateway.browser import CHROMIUM, FOREIGN_HOST, Site, served, verdicts_of
from tests.gateway.conftest import Build
from tests.gateway.test_cors import RULE
from tests.gateway.upstream import END_OF_STREAM, EVENT_STREAM, Received, chunk

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

CHAT = "/v1/chat/completions"
LOCAL = replace(RULE, origins=("local",), methods=("GET", "POST"), headers=("*",))
Browse = Callable[..., Coroutine[Any, Any, list[Any]]]


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with served() as site:
        yield site


@pytest.fixture
def browse(site: Site, tmp_path: Path) -> Browse:
    """Return a function that has a page on a host send requests, and returns the browser's verdicts."""

    async def ask(host: str, *requests: dict[str, Any]) -> list[Any]:
        return await verdicts_of(site, host, tmp_path / "profile", *requests)

    return ask


def to(port: int, path: str, scheme: str = "http", **init: Any) -> dict[str, Any]:
    """Return a request of a page, as `fetch` takes it."""
    return {"url": f"{scheme}://127.0.0.1:{port}{path}"} | init


def chat(port: int, content_type: str = "application/json", **init: Any) -> dict[str, Any]:
    """Return a chat request as a client library in a page sends it."""
    headers = {"Content-Type": content_type} | init.pop("headers", {})
    return to(port, CHAT, method="POST", body='{"messages":[]}', headers=headers) | init


async def test_a_page_of_this_machine_uses_the_service(build: Build, browse: Browse) -> None:
    stack = await build(cors=LOCAL)
    asked = {"Authorization": "Bearer of-a-page", "X-Stainless-Lang": "js", "X-Request-Id": "of-the-page"}
    shown = ["x-request-id", "server-timing"]
    found = await browse(
        "localhost",
        chat(stack.port, headers=asked, show=shown),
        to(stack.port, "/v1/metadata"),
        to(stack.port, "/v1/health/ready", headers={"X-Own": "asks first"}),
        to(stack.port, CHAT, method="DELETE"),
    )
    answered, *others, forbidden_method = found
    assert answered == {
        "status": 200,
        "parts": ["{}"],
        "shown": {"x-request-id": "of-the-page", "server-timing": None},
    }
    assert [other["status"] for other in others] == [200, 200]
    assert forbidden_method == "refused"
    methods = [request.method for request in stack.engine.received if request.target == CHAT]
    assert methods == ["POST"], "no preflight and no refused method reached the engine"


async def test_a_foreign_page_neither_reads_nor_uses_it(build: Build, browse: Browse) -> None:
    stack = await build(cors=LOCAL)
    found = await browse(
        FOREIGN_HOST,
        chat(stack.port),
        chat(stack.port, "text/plain"),
        chat(stack.port, "text/plain", mode="no-cors"),
        to(stack.port, "/v1/audio/transcriptions", method="POST", body="a=b", mode="no-cors"),
        to(stack.port, "/v1/models"),
        to(stack.port, "/v1/metadata"),
        {"websocket": f"ws://127.0.0.1:{stack.port}/v1/realtime"},
    )
    unreadable = {"status": 0, "parts": [], "shown": {}}
    assert found == ["refused", "refused", unreadable, unreadable, "refused", "refused", "refused"]
    assert [request.target for request in stack.engine.received] == ["/v1/models"], "which changes nothing"


async def test_any_page_uses_it_where_that_is_asked_for(build: Build, browse: Browse) -> None:
    stack = await build(cors=replace(LOCAL, origins=("*",)))
    found = await browse(
        FOREIGN_HOST,
        chat(stack.port, headers={"Authorization": "Bearer of-a-page", "X-Own": "1"}),
        chat(stack.port, credentials="include"),
    )
    assert found == [{"status": 200, "parts": ["{}"], "shown": {}}, "refused"]


async def test_only_named_origins_methods_and_headers(build: Build, browse: Browse, site: Site) -> None:
    stack = await build(cors=replace(RULE, origins=(site.origin(FOREIGN_HOST),)))
    requests = (
        chat(stack.port, headers={"Authorization": "Bearer of-a-page"}),
        chat(stack.port, headers={"X-Own": "is not allowed"}),
        to(stack.port, "/v1/models", method="PUT"),
    )
    [allowed, *refused] = await browse(FOREIGN_HOST, *requests)
    assert (allowed["status"], refused) == (200, ["refused", "refused"])
    assert await browse("localhost", *requests) == ["refused"] * 3


async def test_a_page_reads_a_stream_as_it_arrives(build: Build, browse: Browse, site: Site) -> None:
    async def stream(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(EVENT_STREAM + chunk(b"data: 1\n\n"))
        await site.read.wait()
        writer.write(chunk(b"data: 2\n\n") + END_OF_STREAM)

    stack = await build(cors=LOCAL)
    stack.engine.answering = stream
    [found] = await browse("127.0.0.1", chat(stack.port))
    assert (found["status"], found["parts"]) == (200, ["data: 1\n\n", "data: 2\n\n"])


@pytest.mark.skipif(not find_lua_modules(), reason="nginx's Lua module is not installed")
async def test_a_page_reads_errors_and_gets_in_with_a_key(
    build: Build, browse: Browse, tmp_path: Path
) -> None:
    (tmp_path / "api_keys").write_text(f"alice {digest_of('nim-right-key')}\n")
    keys = ApiKeys(file="/unread", from_environment=False, nginx_modules=find_lua_modules())
    stack = await build(cors=LOCAL, api_keys=keys, max_body_size="1k")
    key = {"Authorization": "Bearer nim-right-key"}
    found = await browse(
        "localhost",
        chat(stack.port, headers=key),
        chat(stack.port, headers={"Authorization": "Bearer wrong"}),
        chat(stack.port),
        to(stack.port, "/none"),
        chat(stack.port, headers=key, body="x" * 2000),
    )
    assert [one["status"] for one in found] == [200, 401, 401, 404, 413]
    codes = [json.loads("".join(one["parts"]))["error"]["code"] for one in found[1:]]
    assert codes == ["invalid_api_key", "invalid_api_key", "not_found", "request_too_large"]


async def test_a_page_reads_that_the_engine_is_not_up(build: Build, browse: Browse) -> None:
    stack = await build(cors=LOCAL)
    await stack.engine.close()
    found = await browse(
        "localhost", chat(stack.port, show=["retry-after"]), to(stack.port, "/v1/health/ready")
    )
    assert [one["status"] for one in found] == [503, 503]
    assert found[0]["shown"] == {"retry-after": "5"}


@pytest.mark.parametrize("credentials", [False, True])
async def test_cookies_are_sent_only_where_they_are_allowed(
    build: Build, browse: Browse, credentials: bool
) -> None:
    stack = await build(cors=replace(LOCAL, credentials=credentials))
    [found] = await browse("127.0.0.1", chat(stack.port, credentials="include", headers={"X-Own": "1"}))
    if credentials:
        assert found["status"] == 200
        assert stack.engine.received[0].header("cookie") == "page=known"
    else:
        assert found == "refused"
        assert stack.engine.received == []


@pytest.mark.parametrize(("seconds", "preflights"), [(0, 2), (600, 1)])
async def test_a_browser_asks_again_after_the_age(
    build: Build, browse: Browse, seconds: int, preflights: int
) -> None:
    stack = await build(cors=replace(LOCAL, max_age_seconds=seconds))
    await browse("localhost", chat(stack.port), chat(stack.port))
    lines = await stack.nginx.logged_json(2 + preflights)
    assert [line["message"] for line in lines].count(f"OPTIONS {CHAT}") == preflights
    assert len(stack.engine.received) == 2


async def test_over_http_2(build: Build, browse: Browse, tmp_path: Path) -> None:
    pair = Authority(tmp_path / "tls").issue("service")
    stack = await build(cors=LOCAL, tls=Tls(certificates=pair.certificate, key=pair.key))
    asked = {"Authorization": "Bearer of-a-page", "Content-Type": "application/json"}
    found = await browse("localhost", to(stack.port, CHAT, "https", method="POST", body="{}", headers=asked))
    assert [one["status"] for one in found] == [200]
    assert [request.method for request in stack.engine.received] == ["POST"]
