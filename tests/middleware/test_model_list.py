"""/v1/models: the engine's bytes, but for paths, through the real middleware and the real nginx."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from starlette.responses import JSONResponse

from nim.middleware.management_app import build_app
from nim.middleware.model_list import with_ids
from nim.plan import MIDDLEWARE_SOCKET, Plan
from tests.gateway.nginx import Nginx, gateway_of
from tests.middleware.conftest import Serve, client, listening

BASE, ALIAS, ADAPTER = "nim/demo", "demo", "sql"
PATH = '/opt/nim/.cache/a "b"\\c/модель'


Card = dict[str, Any]


def card(name: str, *, root: str, parent: str | None = None) -> Card:
    """Return an entry with the members that vLLM writes, in its order."""
    permission = {"id": "modelperm-1", "object": "model_permission", "created": 1, "allow_view": True}
    return {
        "id": name,
        "object": "model",
        "created": 1,
        "owned_by": "vllm",
        "root": root,
        "parent": parent,
        "max_model_len": 2048,
        "permission": [permission],
    }


def of_the_engine(*cards: Card) -> bytes:
    """Return a list of models as vLLM's framework writes it."""
    return bytes(JSONResponse({"object": "list", "data": list(cards)}).body)


ONE = (card(BASE, root=PATH),)
SEVERAL = (
    card(BASE, root=PATH),
    card(ALIAS, root=PATH),
    card(ADAPTER, root="/adapters/sql", parent=BASE),
    card("chat", root="org/adapter", parent=PATH),
)


@pytest.mark.parametrize("cards", [ONE, SEVERAL])
def test_only_root_and_a_parent_that_is_no_model_change(cards: tuple[Card, ...]) -> None:
    body = of_the_engine(*cards)
    expected = json.loads(body)
    for entry in expected["data"]:
        entry["root"] = BASE
        if entry["parent"] not in (None, BASE, ALIAS):
            entry["parent"] = BASE
    changed = with_ids(body)
    assert json.loads(changed) == expected
    assert list(json.loads(changed)["data"][0]) == list(json.loads(body)["data"][0])
    # vLLM's own writer gives the same bytes for the same values.
    assert changed == bytes(JSONResponse(expected).body)
    assert b"adapters/" not in changed
    assert b"\\\\c/" not in changed


def test_bytes_of_another_writer_stay_as_they_are() -> None:
    body = b'{ "data" : [ {"id":"a",\n "root" :  "/p" , "parent":null, "note": "\\"root\\": \\"/p\\"" } ] }\n'
    assert with_ids(body) == body.replace(b' :  "/p" ', b' :  "a" ')


@pytest.mark.parametrize(
    "body",
    [b"", b"no JSON", b"[]", b'{"data":null}', b'{"data":[]}', b'{"data":[{"root":"/p"}]}', b'{"root":"/p"}'],
)
def test_what_is_no_list_of_models_stays_as_it_is(body: bytes) -> None:
    assert with_ids(body) == body


class Engine:
    """An engine that answers for its models as it is told to."""

    def __init__(self) -> None:
        self.answer = web.Response(body=of_the_engine(*SEVERAL), content_type="application/json")
        self.seen: list[web.BaseRequest] = []
        self.cut = False

    async def answer_models(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        if self.cut:
            assert request.transport is not None
            request.transport.abort()
        headers = {**self.answer.headers, "X-Engine": "1"}
        return web.Response(status=self.answer.status, body=self.answer.body, headers=headers)

    @asynccontextmanager
    async def up(self, plan: Plan) -> AsyncIterator[None]:
        assert plan.engine.socket is not None
        app = web.Application()
        app.router.add_route("*", "/v1/models", self.answer_models)
        async with listening(app, Path(plan.engine.socket)):
            yield


@pytest.fixture
async def engine(plan: Plan) -> AsyncIterator[Engine]:
    engine = Engine()
    async with engine.up(plan):
        yield engine


async def test_the_engine_gets_the_clients_request(plan: Plan, serve: Serve, engine: Engine) -> None:
    service = await serve(plan)
    headers = {"Authorization": "Bearer key", "X-Request-Id": "mine", "Origin": "https://a.test"}
    async with service.get("/v1/models?a=b", headers=headers) as answer:
        assert await answer.read() == with_ids(of_the_engine(*SEVERAL))
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["X-Engine"] == "1"
    [request] = engine.seen
    assert request.path_qs == "/v1/models?a=b"
    assert {name: request.headers[name] for name in headers} == headers


@pytest.mark.parametrize("status", [307, 401, 404, 500, 503])
async def test_an_error_of_the_engine_is_passed_on(
    plan: Plan, serve: Serve, engine: Engine, status: int
) -> None:
    body = b'{"root":"/p"}'
    engine.answer = web.Response(status=status, body=body, headers={"Location": "/elsewhere"})
    service = await serve(plan)
    async with service.get("/v1/models", allow_redirects=False) as answer:
        assert (answer.status, await answer.read()) == (status, body)
        assert answer.headers["Location"] == "/elsewhere"


@asynccontextmanager
async def gateway(plan: Plan, tmp_path: Path, **options: Any) -> AsyncIterator[tuple[ClientSession, Nginx]]:
    """Yield a client for the real nginx in front of the run directory, and that nginx."""
    (tmp_path / "log").mkdir(exist_ok=True)
    nginx = Nginx(run_dir=tmp_path, gateway=gateway_of(**options))
    await nginx.start()
    try:
        async with ClientSession(f"http://127.0.0.1:{nginx.port}") as session:
            yield session, nginx
    finally:
        nginx.stop()


async def test_through_the_gateway_only_get_is_changed(plan: Plan, tmp_path: Path, engine: Engine) -> None:
    async with (
        listening(build_app(plan), plan.file(MIDDLEWARE_SOCKET)),
        gateway(plan, tmp_path) as (session, _),
    ):
        async with session.get("/v1/models/") as answer:
            assert await answer.read() == with_ids(of_the_engine(*SEVERAL))
            assert answer.headers["X-Engine"] == "1"
        async with session.head("/v1/models") as answer:
            assert int(answer.headers["Content-Length"]) == len(with_ids(of_the_engine(*SEVERAL)))
        for method in ("POST", "DELETE"):
            async with session.request(method, "/v1/models") as answer:
                assert await answer.read() == of_the_engine(*SEVERAL)
    assert [request.method for request in engine.seen] == ["GET", "GET", "POST", "DELETE"]


ERRORS = ("x-request-id", "retry-after", "cache-control", "access-control-allow-origin", "content-type")


@pytest.mark.parametrize("cut", [False, True], ids=["down", "lost"])
async def test_an_engine_down_is_the_error_of_every_other_route(
    plan: Plan, tmp_path: Path, cut: bool
) -> None:
    """What nginx writes for /v1/models (POST goes to the engine directly), the middleware writes for GET."""
    engine = Engine()
    engine.cut = cut
    async with (
        listening(build_app(plan), plan.file(MIDDLEWARE_SOCKET)),
        gateway(plan, tmp_path) as (session, _),
    ):
        said = []
        async with engine.up(plan) if cut else listening(web.Application(), tmp_path / "unused"):
            for method in ("GET", "POST"):
                headers = {"X-Request-Id": "mine", "Content-Type": "application/json"}
                async with session.request(method, "/v1/models", headers=headers) as answer:
                    kept = {name: answer.headers.get(name) for name in ERRORS}
                    said.append((answer.status, kept, await answer.json()))
    assert said[0] == said[1]
    assert said[0][0] == (502 if cut else 503)


async def test_without_the_middleware_the_error_says_so(plan: Plan, tmp_path: Path, engine: Engine) -> None:
    async with gateway(plan, tmp_path) as (session, _):
        async with session.get("/v1/models") as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
            assert (await answer.json())["error"]["code"] == "management_unavailable"
        async with session.post("/v1/models") as answer:
            assert answer.status == 200


async def test_a_client_that_leaves_is_noticed(plan: Plan, tmp_path: Path) -> None:
    """Else requests to an engine that hangs would gather in the middleware."""
    left = asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        try:
            await asyncio.sleep(60)
        finally:
            left.set()
        raise AssertionError

    assert plan.engine.socket is not None
    app = web.Application()
    app.router.add_get("/v1/models", hang)
    runners = [
        web.AppRunner(app, handler_cancellation=True),
        web.AppRunner(build_app(plan), handler_cancellation=True),
    ]
    try:
        for runner, path in zip(runners, (plan.engine.socket, plan.file(MIDDLEWARE_SOCKET)), strict=True):
            await runner.setup()
            await web.UnixSite(runner, str(path)).start()
        async with client(plan.file(MIDDLEWARE_SOCKET)) as session:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2), session.get("/v1/models"):
                    pass
        async with asyncio.timeout(20):
            await left.wait()
    finally:
        for runner in runners:
            await runner.cleanup()
