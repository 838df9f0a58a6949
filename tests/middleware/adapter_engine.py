"""An engine that keeps a list of adapters as vLLM's API server does, and fails on command."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.middleware.conftest import listening

DEMO_ADAPTERS = Path(__file__).resolve().parents[2] / "profiles" / "demo" / "adapters"


class AdapterEngine:
    """Names and paths as the engine lists them. `refuses`: names that it will not load; `asked`: in order."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.loaded: dict[str, str] = {}
        self.others = {"nim/demo": "/model"}
        self.refuses: set[str] = set()
        self.hangs: set[str] = set()
        self.asked: list[tuple[str, str]] = []

    @asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        """Answer on the socket; an engine that starts has no adapter."""
        self.loaded.clear()
        app = web.Application()
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/load_lora_adapter", self._load)
        app.router.add_post("/v1/unload_lora_adapter", self._unload)
        async with listening(app, self.socket):
            yield

    async def _models(self, _: web.Request) -> web.Response:
        entries = {**self.others, **self.loaded}.items()
        return web.json_response({"object": "list", "data": [{"id": n, "root": r} for n, r in entries]})

    async def _load(self, request: web.Request) -> web.Response:
        body = await request.json()
        name, path = body["lora_name"], body["lora_path"]
        self.asked.append(("load", name))
        assert set(body) == {"lora_name", "lora_path"}
        if name in self.hangs:
            await asyncio.Event().wait()
        if name in self.refuses:
            return _error(500, f"Call to add_lora method failed: {path} is of another size")
        if name in self.loaded:
            return _error(400, f"The lora adapter '{name}' has already been loaded.")
        self.loaded[name] = path
        return web.Response(text=f"Success: LoRA adapter '{name}' added successfully.")

    async def _unload(self, request: web.Request) -> web.Response:
        name = (await request.json())["lora_name"]
        self.asked.append(("unload", name))
        if self.loaded.pop(name, None) is None:
            return _error(404, f"The lora adapter '{name}' cannot be found.")
        return web.Response(text=f"Success: LoRA adapter '{name}' removed successfully.")


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"message": message, "code": status}}, status=status)


def put_adapter(source: Path, name: str, *, of: str = "pirate", **config: Any) -> Path:
    """Put a copy of a demo adapter, its configuration changed, under a name; return its directory."""
    fresh = source / f".{name}.new"
    shutil.copytree(DEMO_ADAPTERS / of, fresh)
    file = fresh / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | config))
    shutil.rmtree(source / name, ignore_errors=True)
    return fresh.rename(source / name)
