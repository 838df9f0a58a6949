"""A gateway with an engine and a middleware behind it, each of them real enough to be talked to."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.client import Answer, ask
from tests.gateway.nginx import Nginx, gateway_of
from tests.gateway.upstream import Upstream


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """nginx and the two that stand behind it."""

    nginx: Nginx
    engine: Upstream
    middleware: Upstream

    @property
    def port(self) -> int:
        return self.nginx.port

    async def ask(self, target: str, **how: Any) -> Answer:
        return await ask(self.port, target, **how)


Build = Callable[..., Awaitable[House]]


@pytest.fixture
async def build(tmp_path: Path) -> AsyncIterator[Build]:
    """Builds a house; keyword arguments change its `Gateway`, `options` go to the renderer."""
    houses: list[House] = []

    async def make(options: dict[str, Any] | None = None, **changes: Any) -> House:
        nginx = Nginx(run_dir=tmp_path, gateway=gateway_of(**changes), options=options or {})
        house = House(nginx=nginx, engine=Upstream(), middleware=Upstream())
        houses.append(house)
        await house.engine.listen(nginx.engine_socket)
        await house.middleware.listen(nginx.middleware_socket)
        await nginx.start()
        return house

    yield make
    for house in houses:
        house.nginx.stop()
        await house.engine.close()
        await house.middleware.close()
        for side in (house.engine, house.middleware):
            assert not side.malformed


@pytest.fixture
async def house(build: Build) -> House:
    """The usual house."""
    return await build()
