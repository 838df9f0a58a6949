"""The middleware's application on a real socket, with a run directory and a small engine."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, ClientTimeout, UnixConnector, web

from nim.middleware.gpu_usage import Gpus
from nim.middleware.management_app import build_app
from nim.plan import (
    ENGINE_SOCKET,
    MANIFEST_FILE,
    MIDDLEWARE_SOCKET,
    PLAN_FILE,
    STATE_FILE,
    ChosenProfile,
    Engine,
    Gateway,
    Model,
    Plan,
)
from nim.service_state import Phase, State
from nim.value_origins import Layer, Origin, Value

GENEROUS_SECONDS = 30
PROFILE_ID = "5e" * 32


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Return a plan whose run directory is the test's own; its engine is expected on a unix socket there."""
    cli = Origin(layer=Layer.CLI, place="--max-model-len")
    default = Origin(layer=Layer.DEFAULT, place="the engine")
    return Plan(
        release="0.1.0",
        run_dir=str(tmp_path),
        cache_dir=str(tmp_path / "cache"),
        log_level="INFO",
        json_logs=False,
        shutdown_timeout_seconds=28.0,
        model=Model(
            name="org/tiny-1b",
            served_names=("tiny", "tiny-alias"),
            source="hf://org/tiny-1b:main",
            path=None,
            license_file=None,
            license_name=None,
            max_model_len=2048,
        ),
        profile=ChosenProfile(
            id=PROFILE_ID, label="vllm-bf16-tp1-pp1", tags={"tp": "1"}, because="the only one that fits"
        ),
        engine=Engine(
            name="vllm",
            version="0.32.0",
            argv=("python",),
            env={},
            unset=(),
            socket=str(tmp_path / ENGINE_SOCKET),
            port=None,
        ),
        gateway=Gateway(
            server_port=8000,
            health_port=None,
            listen_ipv6=False,
            user=None,
            worker_processes=1,
            max_body_size="0",
            read_timeout_seconds=60,
            send_timeout_seconds=60,
            keepalive_timeout_seconds=60,
            route_groups=("inference", "docs", "management"),
        ),
        config={
            "max_model_len": Value(value=2048, origin=cli, previous=(Value(value=None, origin=default),)),
        },
    )


def state(**changes: Any) -> State:
    """Return a service that loads, changed as the test wants it."""
    now = time.time()
    loading = State(phase=Phase.LOAD, message="loading weights", started_at=now - 9, phase_since=now - 5)
    return replace(loading, **changes)


def put(path: Path, text: str) -> None:
    """Replace a file atomically, as the controller does."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.rename(path)


def put_state(plan: Plan, state: State) -> None:
    """Write a state, as the controller does."""
    put(plan.file(STATE_FILE), state.to_json())


def put_plan(plan: Plan) -> None:
    """Write the plan, as the launcher does."""
    put(plan.file(PLAN_FILE), plan.to_json())


def put_manifest(plan: Plan, manifest: Mapping[str, Any]) -> None:
    """Write the manifest, as the launcher does."""
    put(plan.file(MANIFEST_FILE), json.dumps(manifest))


def wait_for(condition: Callable[[], object]) -> None:
    """Return when the condition holds; outside of any event loop."""
    deadline = time.monotonic() + GENEROUS_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def client(path: Path) -> ClientSession:
    """Return a client for what listens on the socket."""
    timeout = ClientTimeout(total=GENEROUS_SECONDS)
    return ClientSession("http://service", connector=UnixConnector(str(path)), timeout=timeout)


Serve = Callable[..., Awaitable[ClientSession]]


@asynccontextmanager
async def listening(app: web.Application, path: Path) -> AsyncIterator[None]:
    """Yield the application on a unix socket."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(path)).start()
        yield
    finally:
        await runner.cleanup()


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start the middleware for a plan; the client for it."""
    async with AsyncExitStack() as stack:

        async def start(plan: Plan, gpus: Gpus | None = None) -> ClientSession:
            path = plan.file(MIDDLEWARE_SOCKET)
            await stack.enter_async_context(listening(build_app(plan, gpus), path))
            return await stack.enter_async_context(client(path))

        yield start


class Upstream:
    """An engine that says what it is told to, and counts who asks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.status = 200
        self.metrics = b""
        self.metrics_cut_short = False
        self.openapi: Any = {"openapi": "3.1.0", "info": {"title": "engine", "version": "0"}, "paths": {}}
        self.asked: list[str] = []
        self.go = asyncio.Event()
        self.go.set()

    @asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        """Listen on the socket for as long as the block lasts."""
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/openapi.json", self._openapi)
        async with listening(app, self.path):
            yield

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        await self.go.wait()
        if not self.metrics_cut_short:
            return web.Response(status=self.status, body=self.metrics)
        answer = web.StreamResponse(headers={"Content-Length": str(len(self.metrics) + 1)})
        await answer.prepare(request)
        await answer.write(self.metrics)
        assert request.transport is not None
        request.transport.abort()
        return answer

    async def _openapi(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        return web.json_response(self.openapi, status=self.status)


@pytest.fixture
async def engine(plan: Plan) -> AsyncIterator[Upstream]:
    """Yield an engine that is up."""
    assert plan.engine.socket is not None
    upstream = Upstream(Path(plan.engine.socket))
    async with upstream.up():
        yield upstream
        upstream.go.set()
