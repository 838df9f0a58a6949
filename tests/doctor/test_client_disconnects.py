"""Findings on disconnects if the engine's metrics are incomplete or unavailable."""

import asyncio
from collections.abc import AsyncIterator, Container
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from nim.doctor import Limits, Service, open_client, read_target
from nim.doctor.checks import client_disconnects
from nim.doctor.checks.client_disconnects import disconnect_findings
from nim.doctor.checks.context import CheckContext

IDLE_LOOKS = 3
"""So many come before a request is begun."""


class Engine:
    """Answers for as long as somebody listens; these looks at its numbers see none."""

    def __init__(self, blind: Container[int]) -> None:
        self._blind = blind
        self._running = self._looks = 0

    async def metrics(self, _: web.Request) -> web.Response:
        self._looks += 1
        if self._looks in self._blind:
            return web.Response(text="nim_engine_up 0\n")
        return web.Response(text=f"vllm:num_requests_running {self._running}\n")

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self._running = 1
        try:
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            while True:
                await response.write(b"data: {}\n\n")
                await asyncio.sleep(0.01)
        finally:
            self._running = 0


@asynccontextmanager
async def context_of(blind: Container[int]) -> AsyncIterator[CheckContext]:
    engine, app = Engine(blind), web.Application()
    app.router.add_get("/v1/metrics", engine.metrics)
    app.router.add_post("/v1/chat/completions", engine.answer)
    async with TestServer(app) as server, open_client(read_target(str(server.make_url("/")))) as client:
        service = Service(ours=True, server=None, model="a", context=10_000, metrics_page="/v1/metrics")
        yield CheckContext(client=client, service=service, limits=Limits(idle_seconds=1, max_body_bytes=1))


async def test_failed_metrics_requests_do_not_end_the_check() -> None:
    async with context_of(range(IDLE_LOOKS + 1, IDLE_LOOKS + 4)) as context:
        found = [finding async for finding in disconnect_findings(context)]
    assert [finding.verdict for finding in found] == ["ok", "ok"], found


async def test_unanswered_metrics_requests_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_disconnects, "REQUEST_COUNTED_WITHIN_SECONDS", 0.5)
    async with context_of(range(IDLE_LOOKS + 1, 1_000_000)) as context:
        found = await anext(disconnect_findings(context))
    assert found.seen == "cannot be determined: no request to /v1/metrics was answered"
