"""The routes with which people load and unload adapters below NIM_PEFT_SOURCE, as the engine answers them."""

import asyncio
import json
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aiohttp import web

from nim.middleware.adapters.adapter_loader import AdapterLoader
from nim.middleware.adapters.adapter_state import Standing
from nim.middleware.adapters.engine_adapters import LOAD, UNLOAD
from nim.middleware.error_bodies import refusal
from nim.middleware.upstream_clients import UPSTREAMS
from nim.routes import let_through

LOADER = web.AppKey("adapters", AdapterLoader)


class _Refused(Exception):
    """A request that cannot be served: status, message and code."""

    def __init__(self, status: HTTPStatus, message: str, code: str) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


def add_adapter_routes(app: web.Application, groups: tuple[str, ...]) -> None:
    """Add the routes to the application, if they are open."""
    if let_through(LOAD, groups):
        app.router.add_post(LOAD, _load)
        app.router.add_post(UNLOAD, _unload)


async def keep_adapters(app: web.Application) -> Any:
    """Run the loader for as long as the application (a cleanup context)."""
    task = asyncio.create_task(app[LOADER].run(app[UPSTREAMS].engine))
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _load(request: web.Request) -> web.Response:
    """Answer POST /v1/load_lora_adapter: serve a directory below the source under a name."""
    try:
        body = await _body(request)
        return await _loaded(request, _word(body, "lora_name"), _word(body, "lora_path"))
    except _Refused as why:
        return refusal(why.status, why.message, why.code, request.headers.get("X-Request-Id"))


async def _unload(request: web.Request) -> web.Response:
    """Answer POST /v1/unload_lora_adapter: no longer serve an adapter."""
    try:
        name = _word(await _body(request), "lora_name")
        loader = request.app[LOADER]
        if name not in loader.states:
            raise _Refused(
                HTTPStatus.NOT_FOUND, f"cannot unload the adapter '{name}': there is none", "not_found"
            )
        loader.choices.remove(name)
        await _reconcile(request)
        return web.Response(text=f"Success: LoRA adapter '{name}' removed successfully.")
    except _Refused as why:
        return refusal(why.status, why.message, why.code, request.headers.get("X-Request-Id"))


async def _loaded(request: web.Request, name: str, path: str) -> web.Response:
    """Return the answer to a request to serve the directory `path` under `name`; or _Refused."""
    loader = request.app[LOADER]
    directory = _below(loader.source, path)
    if not name.isprintable() or name.startswith("."):
        raise _bad(f"cannot call an adapter {json.dumps(name)}: expected printable characters, no dot first")
    if (known := loader.states.get(name)) and known.standing is Standing.LOADED:
        raise _bad(
            f"cannot load the adapter '{name}': it has already been loaded; changes of its files are seen by "
            "themselves, another directory needs another name"
        )
    loader.choices.add(name, directory, loader.source)
    await _reconcile(request)
    state = loader.states.get(name)
    if state is None or state.standing is not Standing.LOADED:
        why = state.message if state else "it is not there"
        if directory != loader.source / name:
            loader.choices.remove(name)
        raise _bad(f"cannot load the adapter '{name}': {why}")
    return web.Response(text=f"Success: LoRA adapter '{name}' added successfully.")


async def _reconcile(request: web.Request) -> None:
    """Bring the engine's adapters up to date; _Refused if the engine does not answer."""
    if not await request.app[LOADER].reconcile(request.app[UPSTREAMS].engine):
        message = "cannot reach the engine: it is not up; GET /v1/health/ready tells how far it is"
        raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE, message, "engine_unavailable")


def _below(source: Path, text: str) -> Path:
    """Return the directory that a path names, below the source; _Refused if it is elsewhere or none.

    Links are followed first: a link out of the source leads nowhere.
    """
    path = source / text
    try:
        inside = path.resolve().is_relative_to(source.resolve()) and path.resolve() != source.resolve()
        if inside and path.is_dir():
            return path
    except (OSError, RuntimeError, ValueError):
        pass
    raise _bad(f"cannot load {json.dumps(text)}: expected a directory below NIM_PEFT_SOURCE")


async def _body(request: web.Request) -> dict[str, Any]:
    """Return the JSON object in a request's body; _Refused for anything else."""
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise _bad("cannot read the request: expected a JSON object")
    return body


def _word(body: dict[str, Any], name: str) -> str:
    """Return a member of the request that is a text; _Refused if it is none."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise _bad(f'cannot read the request: expected "{name}", a text')
    return value


def _bad(message: str) -> _Refused:
    """Return the _Refused of a request that is wrong."""
    return _Refused(HTTPStatus.BAD_REQUEST, message, "invalid_adapter")
