"""Routes of the fake engine, and the handling common to all requests."""

import asyncio
import hashlib
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict
from weakref import WeakKeyDictionary

from aiohttp import web

from tests.fakes.answers import Json
from tests.fakes.dialects import DIALECTS
from tests.fakes.facts import Facts
from tests.fakes.generation import Generation
from tests.fakes.mood import Mood
from tests.fakes.service import Refused, Service, as_json
from tests.fakes.words import tell_access, tell_crash

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ROUTES = """
GET /health, GET /ping, POST /ping, GET /version, GET /load, GET /metrics, GET /kv_event_sources,
GET /openapi.json, HEAD /openapi.json, GET /docs, GET /v1/models, POST /tokenize, POST /detokenize,
POST /v1/chat/completions, POST /v1/chat/completions/batch, POST /v1/completions, POST /v1/responses,
GET /v1/responses/{id}, POST /v1/responses/{id}/cancel, POST /v1/messages, POST /v1/messages/count_tokens,
POST /inference/v1/generate, POST /inference/v1/abort_requests, POST /generative_scoring, POST /invocations,
POST /v1/chat/completions/render, POST /v1/completions/render, POST /v1/messages/render,
POST /v1/responses/render, POST /v1/chat/completions/derender, POST /v1/completions/derender,
POST /v1/systemone, POST /scale_elastic_ep, POST /is_scaling_elastic_ep
"""
ADAPTER_ROUTES = """
POST /v1/load_lora_adapter, POST /v1/unload_lora_adapter, POST /adapters, DELETE /adapters/{name}
"""
BODY_SHOWN_BYTES = 4096


class Routes:
    """Records each request and answers it, or misbehaves as configured."""

    def __init__(self, service: Service, on_core_lost: Callable[[], None]) -> None:
        self.service, self.on_core_lost = service, on_core_lost
        self.facts, self.generation = Facts(service), Generation(service)
        self.connections = WeakKeyDictionary[asyncio.BaseTransport, int]()

    def application(self) -> web.Application:
        """Return the application with all routes."""
        app = web.Application(middlewares=[self.pass_through], client_max_size=0)
        for method, path in self.routes():
            app.router.add_route(method, path, self.handler(path))
        app.router.add_route("*", "/fake/control", self.control)
        app.router.add_route("*", "/fake/echo", self.echo)
        app.router.add_get("/fake/received", self.received)
        app.router.add_get("/fake/argv", self.argv)
        app.router.add_get("/fake/state", self.state)
        app.on_response_prepare.append(name_server)
        return app

    def routes(self) -> Iterator[tuple[str, str]]:
        """Yield methods and paths, with those that environment and mood add."""
        adapters = self.service.environ.get("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "0").lower() in ("1", "true")
        for route in f"{ROUTES},{ADAPTER_ROUTES}".split(",") if adapters else ROUTES.split(","):
            method, path = route.split()
            yield method, path
        for path in self.service.mood.routes:
            yield from (("GET", path), ("POST", path))

    def handler(self, path: str) -> Handler:
        """Return the handler of a path."""
        scale_out = path.endswith("render") or path.startswith("/inference/")
        if scale_out and "enable-scale-out" not in self.service.options:
            return self.facts.not_enabled
        special: dict[str, Handler] = {"/health": self.facts.health, "/ping": self.facts.health}
        special |= {"/docs": self.facts.docs, "/openapi.json": self.openapi, "/metrics": self.metrics}
        special |= dict.fromkeys(DIALECTS, self.generation.generate)
        if path.startswith("/v1/responses/{id}"):
            return self.generation.stored_response
        return special.get(path, self.facts.answer)

    async def openapi(self, _: web.Request) -> web.Response:
        """Return the routes as FastAPI lists them."""
        answer = {"responses": {"200": {"description": "Successful Response"}}}
        paths: dict[str, Json] = {}
        for method, path in self.routes():
            paths.setdefault(path.replace("{id}", "{response_id}"), {})[method.lower()] = answer
        info = {"title": "FastAPI", "version": "0.1.0"}
        return as_json({"openapi": "3.1.0", "info": info, "paths": paths})

    async def metrics(self, _: web.Request) -> web.Response:
        """Return one scrape; the library is loaded by the first."""
        from tests.fakes.metrics import expose

        return expose(self.service)

    @web.middleware
    async def pass_through(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Return one request, from its first header to its last byte."""
        if request.path.startswith("/fake/"):
            return await handler(request)
        record = self.record(request)
        body = await request.read()
        record |= {"body_at": time.time(), **measured(body)}
        response = await self.respond(request, handler, record)
        record["status"] = response.status
        self.service.requests[request.path, request.method, f"{response.status // 100}xx"] += 1
        if "disable-uvicorn-access-log" not in self.service.options:
            line = f"{request.method} {request.raw_path} HTTP/{request.version.major}.{request.version.minor}"
            tell_access(record["peer"], line, response.status, response.reason or "")
        return response

    async def respond(self, request: web.Request, handler: Handler, record: Json) -> web.StreamResponse:
        """Return what the mood says, or the handler, or an error in vLLM's words."""
        mood, path = self.service.mood, request.path
        if among(path, mood.stall):
            await asyncio.Event().wait()
        if among(path, mood.echo):
            return as_json(record)
        if self.locked(request):
            return as_json({"error": "Unauthorized"}, 401)
        try:
            if status := mood.fail.get(path, mood.fail.get("*")):
                raise Refused(status, "ordered by the mood")
            return await handler(request)
        except Refused as refused:
            return refused.answer(path)
        except web.HTTPException as error:
            refusal = as_json({"detail": error.reason}, error.status)
            refusal.headers.update({"Allow": error.headers["Allow"]} if "Allow" in error.headers else {})
            return refusal

    def locked(self, request: web.Request) -> bool:
        """Return whether an API key is wanted and missing."""
        environ, guarded = self.service.environ, request.path.startswith(("/v1", "/v2", "/inference"))
        keys = self.service.options.get("api-key") or list(filter(None, [environ.get("VLLM_API_KEY")]))
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return bool(keys) and guarded and given not in keys

    def record(self, request: web.Request) -> Json:
        """Write down what came, before its body has come."""
        transport = request.transport
        if transport and transport not in self.connections:
            self.service.counts["connections"] += 1
            self.connections[transport] = self.service.counts["connections"]
        record = described(request) | {"connection": self.connections.get(transport) if transport else None}
        self.service.received.append(record)
        return record

    async def echo(self, request: web.Request) -> web.Response:
        """Return the request itself."""
        return as_json(described(request) | measured(await request.read()))

    async def control(self, request: web.Request) -> web.Response:
        """Answer with the mood (GET), change it (POST) or replace it (PUT)."""
        if request.method == "GET":
            return as_json(asdict(self.service.mood))
        base = Mood() if request.method == "PUT" else self.service.mood
        try:
            self.service.mood = mood = base.changed(await request.text())
        except ValueError as error:
            return as_json({"error": str(error)}, 400)
        self.service.wake()
        if mood.crash_in == "serve" and not self.service.halted:
            tell_crash(mood.crash, mood.crash_text, self.service.model)
            self.on_core_lost()
        return as_json(asdict(mood))

    async def received(self, request: web.Request) -> web.Response:
        """Return the last requests, oldest first."""
        return as_json([*self.service.received][-int(request.query.get("last", "1000")) :])

    async def argv(self, request: web.Request) -> web.Response:
        """Return how this process was started, with the environment's names that were asked for."""
        environ, names = self.service.environ, request.query.getall("env", [])
        shown = {name: environ.get(name) for name in ([*environ] if "*" in names else names)}
        return as_json({"argv": sys.argv, "env": shown, "pid": os.getpid()})

    async def state(self, _: web.Request) -> web.Response:
        """Return what goes on."""
        service, children = self.service, self.service.children
        pids = {"core": children.core, "workers": children.workers, "orphans": children.orphans}
        now = {"running": len(service.running), "waiting": service.waiting, "open": self.open_connections()}
        then = {"ready_at": service.ready_at, "counts": service.counts, "aborted": [*service.aborted]}
        return as_json({"pid": os.getpid(), "stopping": service.stopping, **pids, **now, **then})

    def open_connections(self) -> int:
        """Return the number of open connections."""
        return sum(not transport.is_closing() for transport in self.connections)


def among(path: str, paths: object) -> bool:
    """Return whether the path is one of these; `*` is all."""
    return isinstance(paths, list | tuple) and (path in paths or "*" in paths)


def described(request: web.Request) -> Json:
    """Return a request as it came, without its body."""
    headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.raw_headers]
    peer = request.transport and request.transport.get_extra_info("peername")
    return {
        "at": time.time(),
        "method": request.method,
        "target": request.raw_path,
        "path": request.path,
        "http": f"{request.version.major}.{request.version.minor}",
        "headers": headers,
        "peer": f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "",
    }


def measured(body: bytes) -> Json:
    """Return a body's size, digest and beginning."""
    shown = body[:BODY_SHOWN_BYTES].decode(errors="replace")
    return {"body_bytes": len(body), "body_sha256": hashlib.sha256(body).hexdigest(), "body": shown}


async def name_server(_: web.Request, response: web.StreamResponse) -> None:
    """Set the process's name to that of vLLM's server."""
    response.headers["Server"] = "uvicorn"
