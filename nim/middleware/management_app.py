"""The aiohttp application: one handler for each management route."""

import json
import time
from http import HTTPStatus
from typing import Any

from aiohttp import web

from nim.middleware import metrics, model_list, response_bodies
from nim.middleware.adapters.adapter_report import AdapterReport
from nim.middleware.cached_file import Watched
from nim.middleware.docs_page import HEADERS, docs_page
from nim.middleware.error_bodies import in_openai_shape, refusal
from nim.middleware.gpu_usage import Gpus
from nim.middleware.index_page import HEADERS as INDEX_HEADERS
from nim.middleware.index_page import index, index_page
from nim.middleware.merged_openapi import Description
from nim.middleware.upstream_clients import UPSTREAMS, Connected
from nim.plan import MANIFEST_FILE, PLAN_FILE, STATE_FILE, AdapterPlan, Plan
from nim.routes import MODELS, ROUTER_METRICS
from nim.service_state import Phase, State

# Cache headers of the documented health answers.
NO_STORE = {"Cache-Control": "no-store, no-cache, must-revalidate"}

PLAN = web.AppKey("plan", Watched[Plan])
STATE = web.AppKey("state", Watched[State])
MANIFEST = web.AppKey("manifest", Watched[dict[str, Any] | None])
DESCRIPTION = web.AppKey("description", Description)
GPUS = web.AppKey("gpus", Gpus)
# Not set without adapters.
ADAPTERS = web.AppKey("reported_adapters", AdapterReport)


def build_app(plan: Plan, gpus: Gpus | None = None) -> web.Application:
    """Return the aiohttp Application of one start; files are read again on request when they change."""
    app = web.Application(middlewares=[in_openai_shape])
    app[PLAN] = Watched(plan.file(PLAN_FILE), Plan.from_json, plan)
    app[STATE] = Watched(plan.file(STATE_FILE), State.from_json, _before_any_state())
    app[MANIFEST] = Watched(plan.file(MANIFEST_FILE), _document, None)
    app[DESCRIPTION] = Description(plan.gateway.route_groups)
    app[GPUS] = gpus or Gpus()
    app.cleanup_ctx.append(Connected(plan))
    if plan.adapters:
        _add_adapters(app, plan, plan.adapters)
    if plan.gateway.assets_size:
        from nim.middleware.nvcf.asset_routes import add_asset_routes
        from nim.middleware.nvcf.polled_requests import add_polling_routes

        add_asset_routes(app, plan, plan.gateway.assets_bytes)
        add_polling_routes(app, plan)
    app.router.add_get("/", root)
    app.router.add_get("/v1/health/startup", startup)
    app.router.add_get("/v1/metadata", metadata)
    app.router.add_get("/v1/version", version)
    app.router.add_get("/v1/license", license_text)
    app.router.add_get("/v1/manifest", manifest)
    for path in ("/v1/metrics", ROUTER_METRICS):
        app.router.add_get(path, exposition)
    app.router.add_get(MODELS, models)
    app.router.add_get("/openapi.json", openapi)
    app.router.add_get("/docs", docs)
    return app


def _add_adapters(app: web.Application, plan: Plan, adapters: AdapterPlan) -> None:
    """Have the application load adapters; the modules for it are imported only here."""
    from nim.middleware.adapters.adapter_loader import AdapterLoader
    from nim.middleware.adapters.adapter_routes import LOADER, add_adapter_routes, keep_adapters

    app[LOADER] = app[ADAPTERS] = AdapterLoader(plan, adapters)
    app.cleanup_ctx.append(keep_adapters)
    add_adapter_routes(app, plan.gateway.route_groups)


async def root(request: web.Request) -> web.Response:
    """Answer GET / with the index: HTML for browsers, JSON otherwise."""
    plan, state = request.app[PLAN].value(), request.app[STATE].value()
    if "text/html" in request.headers.get("Accept", ""):
        text = index_page(plan, state)
        return web.Response(text=text, content_type="text/html", charset="utf-8", headers=INDEX_HEADERS)
    answer = _json(index(plan, state))
    answer.headers.update({name: INDEX_HEADERS[name] for name in ("Cache-Control", "Vary")})
    return answer


async def startup(request: web.Request) -> web.Response:
    """Answer GET /v1/health/startup with JSON on the start's progress: status 200 when ready, else 503."""
    state = request.app[STATE].value()
    status = HTTPStatus.OK if state.ready else HTTPStatus.SERVICE_UNAVAILABLE
    answer = _json(response_bodies.startup(state), status)
    answer.headers.update(NO_STORE)
    return answer


async def metadata(request: web.Request) -> web.Response:
    """Answer GET /v1/metadata with JSON on model, profile, engine and configuration."""
    body = response_bodies.metadata(request.app[PLAN].value(), request.app[STATE].value())
    if adapters := request.app.get(ADAPTERS):
        body["adapters"] = adapters.report()
    return _json(body)


async def version(request: web.Request) -> web.Response:
    """Answer GET /v1/version with JSON: the release and the API version."""
    return _json(response_bodies.version(request.app[PLAN].value()))


async def license_text(request: web.Request) -> web.Response:
    """Answer GET /v1/license with JSON on the model's licence, its text included."""
    return _json(response_bodies.licence(request.app[PLAN].value().model))


async def manifest(request: web.Request) -> web.Response:
    """Answer GET /v1/manifest with the manifest as JSON; 404 for a model served without one."""
    document = request.app[MANIFEST].value()
    if document is None:
        message = "cannot show a manifest: this model is served without one; GET /v1/metadata has its profile"
        request_id = request.headers.get("X-Request-Id")
        return refusal(HTTPStatus.NOT_FOUND, message, "no_manifest", request_id)
    return _json(response_bodies.manifest(document, request.app[PLAN].value()))


async def exposition(request: web.Request) -> web.Response:
    """Answer GET /v1/metrics with Prometheus text, within a second even without the engine."""
    app = request.app
    more = adapters.metrics() if (adapters := app.get(ADAPTERS)) else ()
    text = await metrics.exposition(app[PLAN].value(), app[STATE].value(), app[UPSTREAMS], app[GPUS], more)
    return web.Response(body=text, headers={"Content-Type": metrics.CONTENT_TYPE})


async def models(request: web.Request) -> web.Response:
    """Answer GET /v1/models with the engine's answer, without paths of the file system."""
    return await model_list.relay(request, request.app[UPSTREAMS], request.app[PLAN].value().gateway)


async def openapi(request: web.Request) -> web.Response:
    """Answer GET /openapi.json with the OpenAPI document of the service."""
    app = request.app
    text = await app[DESCRIPTION].read(app[STATE].value(), app[UPSTREAMS])
    return web.Response(body=text, content_type="application/json")


async def docs(request: web.Request) -> web.Response:
    """Answer GET /docs with the HTML page that shows the OpenAPI document."""
    text = docs_page(request.app[PLAN].value().model)
    return web.Response(text=text, content_type="text/html", charset="utf-8", headers=HEADERS)


def _json(body: response_bodies.Body, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """Return an aiohttp Response with `body` as JSON."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return web.Response(status=status, body=text.encode(), content_type="application/json")


def _document(text: str) -> dict[str, Any]:
    """Return the manifest parsed from JSON as a dict; TypeError if it is not an object."""
    document = json.loads(text)
    if not isinstance(document, dict):
        raise TypeError("a manifest is an object")
    return document


def _before_any_state() -> State:
    """Return the State to report before the controller has written one: phase unknown."""
    now = time.time()
    return State(phase=Phase.UNKNOWN, message="starting", started_at=now, phase_since=now)
