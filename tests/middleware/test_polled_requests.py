"""Chat requests with NVCF-POLL-SECONDS, before an engine that answers when the test says so."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from nim.middleware.nvcf import polled_requests
from nim.plan import Plan
from tests.middleware.conftest import GENEROUS_SECONDS, Serve, listening

CHAT, STATUS, ALIAS = "/v1/chat/completions", "/v1/status", "/v2/nvcf/pexec/status"
POLL = "NVCF-POLL-SECONDS"
BODY = b'{"messages": [{"role": "user", "content": "Hi"}], "seed": 9007199254740993}'


@dataclass
class SlowEngine:
    """Answers each chat request once `go` is set. `asked` has what arrived, `left` how many clients went."""

    go: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[tuple[bytes, Mapping[str, str]]] = field(default_factory=list)
    left: int = 0
    status: int = 200

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.asked.append((body, request.headers))
        if json.loads(body).get("stream"):
            stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await stream.prepare(request)
            for line in (b'data: {"n": 1}\n\n', b"data: [DONE]\n\n"):
                await stream.write(line)
                await self.go.wait()
            return stream
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.left += 1
            raise
        return web.Response(status=self.status, body=b'{"id": "x" }', content_type="application/json")


@pytest.fixture
async def engine(plan: Plan) -> AsyncIterator[SlowEngine]:
    slow, app = SlowEngine(), web.Application()
    app.router.add_post(CHAT, slow.chat)
    async with listening(app, Path(str(plan.engine.socket))):
        yield slow
        slow.go.set()


@pytest.fixture
async def service(plan: Plan, serve: Serve) -> ClientSession:
    gateway = replace(plan.gateway, assets_size="1k", route_groups=(*plan.gateway.route_groups, "assets"))
    return await serve(replace(plan, gateway=gateway))


async def ask(service: ClientSession, seconds: str = "1", body: bytes = BODY) -> tuple[int, Any, bytes]:
    """Return (status, headers, body) of a chat request."""
    headers = {POLL: seconds, "Content-Type": "application/json", "X-Request-Id": "mine"}
    async with service.post(CHAT, data=body, headers=headers) as answer:
        return answer.status, answer.headers, await answer.read()


async def poll(
    service: ClientSession, name: str, seconds: str = "1", path: str = STATUS
) -> tuple[int, Any, bytes]:
    async with service.get(f"{path}/{name}", headers={POLL: seconds}) as answer:
        return answer.status, answer.headers, await answer.read()


async def until(condition: Any) -> None:
    async with asyncio.timeout(GENEROUS_SECONDS):
        while not condition():  # noqa: ASYNC110 - it depends on the middleware
            await asyncio.sleep(0.01)


async def test_an_answer_in_time_is_the_engines_own(service: ClientSession, engine: SlowEngine) -> None:
    engine.go.set()
    status, headers, body = await ask(service, "3600")
    assert (status, body, headers["NVCF-STATUS"]) == (200, b'{"id": "x" }', "fulfilled")
    assert "NVCF-REQID" not in headers
    [(arrived, sent)] = engine.asked
    assert arrived == BODY
    assert sent["X-Request-Id"] == "mine"
    assert POLL not in sent


@pytest.mark.parametrize("path", [STATUS, ALIAS])
async def test_a_slow_one_is_202_until_it_is_there(
    service: ClientSession, engine: SlowEngine, path: str
) -> None:
    status, headers, body = await ask(service)
    name = headers["NVCF-REQID"]
    assert (status, headers["NVCF-STATUS"], body) == (202, "in-progress", b"")
    status, headers, body = await poll(service, name, path=path)
    assert (status, headers["NVCF-REQID"], headers["NVCF-STATUS"], body) == (202, name, "in-progress", b"")
    waiting = asyncio.create_task(poll(service, name, "60", path))
    await asyncio.sleep(0.05)
    engine.go.set()
    for status, headers, body in (await waiting, await poll(service, name, path=path)):
        assert (status, headers["NVCF-STATUS"], body) == (200, "fulfilled", b'{"id": "x" }')
        assert headers["Content-Type"].startswith("application/json")
    assert len(engine.asked) == 1


async def test_an_error_of_the_engine_is_told_as_it_is(service: ClientSession, engine: SlowEngine) -> None:
    engine.status = 400
    _, headers, _ = await ask(service)
    engine.go.set()
    status, headers, body = await poll(service, headers["NVCF-REQID"], "60")
    assert (status, headers["NVCF-STATUS"], body) == (400, "errored", b'{"id": "x" }')


@pytest.mark.parametrize("seconds", ["0", "3601", "-1", "1.5", "", "soon", "٣", "9" * 5000])
async def test_what_is_no_number_of_seconds_is_400(
    service: ClientSession, engine: SlowEngine, seconds: str
) -> None:
    for status, _, body in (await ask(service, seconds), await poll(service, "x", seconds)):
        assert status == 400
        assert json.loads(body)["error"]["code"] == "invalid_poll_seconds"
    assert not engine.asked


async def test_an_unknown_id_is_404(service: ClientSession) -> None:
    assert (await poll(service, "00000000-0000-4000-8000-000000000000"))[0] == 404


async def test_a_stream_is_passed_on_as_it_comes(service: ClientSession, engine: SlowEngine) -> None:
    body = b'{"stream": true}'
    async with service.post(CHAT, data=body, headers={POLL: "1"}) as answer:
        assert await answer.content.readline() == b'data: {"n": 1}\n'
        engine.go.set()
        assert (await answer.read()).endswith(b"data: [DONE]\n\n")


async def test_a_client_that_leaves_before_its_202_ends_the_request(
    service: ClientSession, engine: SlowEngine
) -> None:
    asking = asyncio.create_task(ask(service, "3600"))
    await until(lambda: engine.asked)
    asking.cancel()
    await until(lambda: engine.left == 1)


async def test_no_more_go_on_than_fit(
    service: ClientSession, engine: SlowEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polled_requests, "MOST_RUNNING", 1)
    assert (await ask(service))[0] == 202
    status, headers, body = await ask(service)
    assert (status, headers["Retry-After"]) == (429, "5")
    assert json.loads(body)["error"]["code"] == "too_many_polled_requests"
    await until(lambda: engine.left == 1)


async def test_old_answers_go(
    service: ClientSession, engine: SlowEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, headers, _ = await ask(service)
    engine.go.set()
    assert (await poll(service, headers["NVCF-REQID"], "60"))[0] == 200
    monkeypatch.setattr(polled_requests, "KEPT_SECONDS", 0)
    assert (await poll(service, headers["NVCF-REQID"]))[0] == 404


async def test_without_an_engine_the_answer_says_so(service: ClientSession) -> None:
    status, headers, body = await ask(service)
    assert (status, headers["NVCF-STATUS"]) == (503, "errored")
    assert json.loads(body)["error"]["code"] == "engine_lost"
