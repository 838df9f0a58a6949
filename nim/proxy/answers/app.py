"""The aiohttp application of the router: models, health, metadata, metrics, state, renamed requests."""

import json
import time
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import unquote

from aiohttp import web

from nim.middleware.error_bodies import in_openai_shape
from nim.middleware.response_bodies import API_VERSION
from nim.proxy.answers.metrics import CONTENT_TYPE, Metrics
from nim.proxy.answers.rewrite_model_name import Rewriter
from nim.proxy.answers.status import backend_states, readiness
from nim.proxy.routing.models_of_backends import Fleet
from nim.render.nginx_backends import HEALTHY, metrics_paths
from nim.routes import MODELS, READY, STARTUP

NO_STORE = {"Cache-Control": "no-store, no-cache, must-revalidate"}
# Reached over the private socket only; nginx has no location for it.
STATUS = "/status"


class Answers:
    """The handlers. `facts` are those of the plan that /v1/metadata shows."""

    def __init__(self, fleet: Fleet, metrics: Metrics, rewriter: Rewriter, facts: dict[str, object]) -> None:
        self._fleet, self._metrics, self._rewriter, self._facts = fleet, metrics, rewriter, facts
        self._started = time.time()

    def app(self) -> web.Application:
        """Return the aiohttp Application; nginx has limited the size of the bodies that reach it."""
        app = web.Application(middlewares=[in_openai_shape], client_max_size=0)
        get = app.router.add_get
        get("/", self.index)
        get(MODELS, self.models)
        get(MODELS + "/{model:.+}", self.model)
        get(HEALTHY, self.health)
        get(READY, self.ready)
        get(STARTUP, self.ready)
        get("/v1/metadata", self.metadata)
        get("/v1/version", self.version)
        for path in metrics_paths():
            get(path, self.exposition)
        get(STATUS, self.status)
        app.router.add_post("/rewritten{path:.*}", self._rewriter.forward)
        return app

    async def index(self, _: web.Request) -> web.Response:
        """Answer GET / with what is here."""
        return _json(
            {
                "service": "nim-proxy",
                "models": [card["id"] for card in self._fleet.cards()],
                "ready": bool(self._fleet.ready_replicas()),
                "links": {"models": MODELS, "metadata": "/v1/metadata", "metrics": "/v1/metrics"},
            }
        )

    async def models(self, _: web.Request) -> web.Response:
        """Answer GET /v1/models with all models that can be called."""
        return _json({"object": "list", "data": self._fleet.cards()})

    async def model(self, request: web.Request) -> web.Response:
        """Answer GET /v1/models/{id}; ids have slashes, which may be written as %2F."""
        name = unquote(request.rel_url.raw_path.partition(MODELS + "/")[2])
        card = self._fleet.card(name)
        if card is None:
            return _not_found(name, request)
        return _json(card)

    async def health(self, _: web.Request) -> web.Response:
        """Answer GET /health: the proxy itself is alive, whatever its backends are."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return _json({"status": "healthy", "timestamp": now}, headers=NO_STORE)

    async def ready(self, _: web.Request) -> web.Response:
        """Answer the readiness routes: 200 if any backend is ready, with the state of each."""
        body = readiness(self._fleet)
        ready = body["status"] == "ready"
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        seconds = self._fleet.retry_seconds(self._fleet.replicas.values())
        retry = {} if ready else {"Retry-After": str(seconds)}
        return _json(body, status, headers=NO_STORE | retry)

    async def metadata(self, _: web.Request) -> web.Response:
        """Answer GET /v1/metadata with what this proxy is and what is behind it."""
        models = [
            {"shortName": card["id"], "modelUrl": str(card.get("root") or card["id"])}
            for card in self._fleet.cards()
        ]
        return _json(
            {
                **self._facts,
                "modelInfo": models,
                "startedAt": datetime.fromtimestamp(self._started, UTC).isoformat(timespec="seconds"),
                "backends": backend_states(self._fleet),
            }
        )

    async def version(self, _: web.Request) -> web.Response:
        """Answer GET /v1/version with the release and the version of the management API."""
        return _json({"release": self._facts["version"], "api": API_VERSION})

    async def exposition(self, _: web.Request) -> web.Response:
        """Answer GET /v1/metrics with the router's own metrics."""
        return web.Response(body=self._metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})

    async def status(self, _: web.Request) -> web.Response:
        """Answer `nim proxy status` with the state of each backend and the counts of requests."""
        return _json(
            {
                "ready": bool(self._fleet.ready_replicas()),
                "models": [card["id"] for card in self._fleet.cards()],
                "backends": backend_states(self._fleet),
                "requests": self._metrics.counts(),
            }
        )


def _not_found(name: str, request: web.Request) -> web.Response:
    """Return vLLM's error for an unknown model."""
    error = {
        "message": f"The model `{name}` does not exist.",
        "type": "NotFoundError",
        "param": "model",
        "code": 404,
        "request_id": request.headers.get("X-Request-Id"),
    }
    return _json({"error": error}, HTTPStatus.NOT_FOUND)


def _json(
    body: object, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None
) -> web.Response:
    """Return an aiohttp Response with `body` as JSON."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return web.Response(status=status, body=text, content_type="application/json", headers=headers)
