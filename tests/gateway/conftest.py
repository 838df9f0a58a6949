"""A real gateway with an engine and a middleware for tests behind it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nim.routes import MODELS
from tests.gateway.client import Answer, ask
from tests.gateway.nginx import Nginx, gateway_of
from tests.gateway.upstream import Upstream


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayStack:
    """nginx and the two that stand behind it."""

    nginx: Nginx
    engine: Upstream
    middleware: Upstream

    @property
    def port(self) -> int:
        return self.nginx.port

    async def ask(self, target: str, **how: Any) -> Answer:
        return await ask(self.port, target, **how)


Build = Callable[..., Awaitable[GatewayStack]]


@pytest.fixture
async def build(tmp_path: Path) -> AsyncIterator[Build]:
    """Yield a builder of gateways; keyword arguments change its `Gateway`, `options` go to the renderer."""
    stacks: list[GatewayStack] = []

    async def make(options: dict[str, Any] | None = None, **changes: Any) -> GatewayStack:
        nginx = Nginx(run_dir=tmp_path, gateway=gateway_of(**changes), options=options or {})
        stack = GatewayStack(nginx=nginx, engine=Upstream(), middleware=Upstream())
        stack.middleware.relay = (MODELS, stack.engine)
        stacks.append(stack)
        await stack.engine.listen(nginx.engine_socket)
        await stack.middleware.listen(nginx.middleware_socket)
        await nginx.start()
        return stack

    yield make
    for stack in stacks:
        stack.nginx.stop()
        await stack.engine.close()
        await stack.middleware.close()
        for side in (stack.engine, stack.middleware):
            assert not side.malformed


@pytest.fixture
async def stack(build: Build) -> GatewayStack:
    """Return a gateway with default settings."""
    return await build()
