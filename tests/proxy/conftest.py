"""Proxies in directories of their own; most tests share one with three backends."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.nginx import free_port
from tests.proxy.backend import Backend, Mood
from tests.proxy.running import Proxy

StartProxy = Callable[..., Proxy]
StartBackend = Callable[..., Backend]

LORA = {
    "id": "org/a-lora",
    "object": "model",
    "created": 7,
    "owned_by": "me",
    "parent": "org/a",
    "root": "/x",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A proxy before A (`org/a` and an adapter), B (`org/b`), and C (`org/c`), which is down."""

    proxy: Proxy
    a: Backend
    b: Backend

    def received(self) -> int:
        return len(self.a.received) + len(self.b.received)


def backends(*entries: dict[str, Any]) -> str:
    """Return the text of a file of backends."""
    return json.dumps({"backends": list(entries)})


def served(name: str, *replicas: Backend, **more: Any) -> dict[str, Any]:
    """Return a backend's entry in the file."""
    return {"name": name, "urls": [one.url for one in replicas], **more}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    a, b = Backend("org/a", LORA).start(), Backend("org/b").start()
    down = {"name": "c", "urls": [f"http://127.0.0.1:{free_port()}"], "models": ["org/c"]}
    text = backends(served("a", a, aliases={"small": "org/a"}), served("b", b), down)
    proxy = Proxy(tmp_path_factory.mktemp("shared"), text, NIM_PROXY_CLIENT_MAX_BODY_SIZE="2m")
    try:
        proxy.wait_ready(2)
        yield Stack(proxy=proxy, a=a, b=b)
    finally:
        code = proxy.stop()
        a.stop()
        b.stop()
    assert code == 0, proxy.text


@pytest.fixture
def stack(shared: Stack) -> Stack:
    """Return the shared proxy, with backends that behave and have received nothing."""
    for backend in (shared.a, shared.b):
        backend.mood, backend.closed_early = Mood(), 0
        backend.received.clear()
    return shared


@pytest.fixture
def start_backend() -> Iterator[StartBackend]:
    """Yield a function that starts a backend with these models."""
    started: list[Backend] = []

    def start(*models: str | dict[str, Any], port: int | None = None) -> Backend:
        started.append(Backend(*models, port=port).start())
        return started[-1]

    yield start
    for backend in started:
        backend.stop()


@pytest.fixture
def start_proxy(tmp_path: Path) -> Iterator[StartProxy]:
    """Yield a function that starts a proxy with the text of a file of backends."""
    started: list[Proxy] = []

    def start(text: str | None, **env: str) -> Proxy:
        directory = tmp_path / str(len(started))
        directory.mkdir()
        started.append(Proxy(directory, text, **env))
        return started[-1]

    yield start
    for proxy in started:
        proxy.stop()
