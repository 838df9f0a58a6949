"""All routes of the service, each in one group; the gateway lets open groups through.

The engine's part is complete for the pinned engine: a test compares it with the engine's own routers.
"""

from collections.abc import Collection, Iterable
from enum import StrEnum

from nim.errors import SettingsError
from nim.frozen_dataclass import frozen_dataclass


class Group(StrEnum):
    """A group of routes that is opened or closed as one."""

    HEALTH = "health"
    INFERENCE = "inference"
    DOCS = "docs"
    MANAGEMENT = "management"
    ADAPTERS = "adapters"
    ASSETS = "assets"
    AGENT = "agent"
    ROUTER = "router"
    DEBUG = "debug"
    HIDDEN = "hidden"


class Target(StrEnum):
    """The program that answers a route."""

    ENGINE = "engine"
    MIDDLEWARE = "middleware"
    GATEWAY = "gateway"
    AGENT = "agent"


@frozen_dataclass
class Route:
    """A path with its methods. `{name}` is one segment; `note` says what it needs or why it is hidden."""

    methods: tuple[str, ...]
    path: str
    group: Group
    target: Target
    note: str = ""
    websocket: bool = False


ALWAYS_OPEN = (Group.HEALTH,)
OPEN_BY_DEFAULT = (Group.HEALTH, Group.INFERENCE, Group.DOCS, Group.MANAGEMENT)
CAN_BE_OPENED = (*OPEN_BY_DEFAULT, Group.ADAPTERS, Group.ASSETS, Group.ROUTER, Group.DEBUG)

ABOUT = {
    Group.HEALTH: "What probes ask.",
    Group.INFERENCE: "What clients come for. Streams go from the engine to the client without a stop.",
    Group.DOCS: "The API's description, usable without internet.",
    Group.MANAGEMENT: "What the service says about itself.",
    Group.ADAPTERS: "Loading and unloading LoRA adapters of `NIM_PEFT_SOURCE`, which needs no request.",
    Group.ASSETS: "Files that requests refer to, and answers that are asked for later, as NVCF has them. "
    "Opened by `NIM_CATALOG`.",
    Group.AGENT: "A workflow behind HTTP, at the paths of its file. Opened by `NIM_AGENT_CONFIG`.",
    Group.ROUTER: "The engine's names at the root, for routers, load generators and scrapers.",
    Group.DEBUG: "Controls that slow, empty, stop or rewrite the engine. Closed unless asked for.",
    Group.HIDDEN: "Never let through.",
}

LIVE, READY, STARTUP = "/v1/health/live", "/v1/health/ready", "/v1/health/startup"
HEALTH = (LIVE, READY, STARTUP)
MODELS, CHAT, ROUTER_METRICS = "/v1/models", "/v1/chat/completions", "/metrics"
ASSETS = "/v2/nvcf/assets"
NVCF_STATUS_ROUTES = ("/v1/status/{polled_id}", "/v2/nvcf/pexec/status/{polled_id}")
ASSET, ASSET_UPLOAD = f"{ASSETS}/{{asset_id}}", f"{ASSETS}/{{asset_id}}/upload"
AGENT_JOB = "/generate/async/job/{job_id}"
AGENT_DOCS = (
    "/agent/docs",
    "/agent/openapi.json",
    "/agent/docs/swagger-ui-bundle.js",
    "/agent/docs/swagger-ui.css",
)
ADAPTER_ROUTES = ("/v1/load_lora_adapter", "/v1/unload_lora_adapter")
TOKENIZER_ROUTES = ("/tokenize", "/detokenize")  # the engine does this in one piece and serves nobody else

_SCALE_OUT = "the engine needs --enable-scale-out, which the launcher sets"
_DEV_MODE = "the engine needs VLLM_SERVER_DEV_MODE=1"
_LORA = "takes paths below NIM_PEFT_SOURCE; the engine is asked on their behalf"
_POOLING = "the engine has it for pooling models"
_SPEECH = "the engine has it for speech models"
_TOKENIZER_INFO = "the engine needs --enable-tokenizer-info-endpoint"
_PROFILER = "the engine needs --profiler-config"
_JOBS = "needs the packages of the extra `agent`"
_COHERE = "the engine needs VLLM_ENABLE_COHERE_API=1 and cohere"
_SAGEMAKER = "SageMaker's contract; reaches other routes by what the body says"


def _engine(group: Group, method: str, *paths: str, note: str = "") -> tuple[Route, ...]:
    """Return a tuple of Routes of the engine that share group, method and note."""
    return tuple(
        Route(methods=(method,), path=path, group=group, target=Target.ENGINE, note=note) for path in paths
    )


def _websocket(group: Group, path: str, note: str) -> Route:
    """Return the Route of a websocket of the engine."""
    return Route(methods=("GET",), path=path, group=group, target=Target.ENGINE, note=note, websocket=True)


def _ours(
    group: Group, target: Target, *paths: str, note: str = "", method: str = "GET"
) -> tuple[Route, ...]:
    """Return a tuple of Routes that nginx or the middleware answers."""
    return tuple(Route(methods=(method,), path=path, group=group, target=target, note=note) for path in paths)


_INFERENCE = (
    *_engine(Group.INFERENCE, "POST", CHAT, "/v1/completions", "/v1/responses"),
    *_engine(Group.INFERENCE, "GET", "/v1/responses/{response_id}"),
    *_engine(Group.INFERENCE, "POST", "/v1/responses/{response_id}/cancel"),
    *_engine(Group.INFERENCE, "POST", "/v1/messages", "/v1/messages/count_tokens"),
    *_engine(Group.INFERENCE, "GET", MODELS, note="`root` is the base model's id; the engine says a path"),
    *_engine(Group.INFERENCE, "POST", "/tokenize", "/detokenize", "/generative_scoring", "/v1/systemone"),
    *_engine(Group.INFERENCE, "POST", "/inference/v1/generate", note=_SCALE_OUT),
    *_engine(
        Group.INFERENCE,
        "POST",
        "/v1/chat/completions/render",
        "/v1/chat/completions/derender",
        "/v1/completions/render",
        "/v1/completions/derender",
        "/v1/messages/render",
        "/v1/responses/render",
        note=_SCALE_OUT,
    ),
    *_engine(Group.INFERENCE, "POST", "/v1/embeddings", "/v2/embed", "/pooling", "/classify", note=_POOLING),
    *_engine(
        Group.INFERENCE, "POST", "/score", "/v1/score", "/rerank", "/v1/rerank", "/v2/rerank", note=_POOLING
    ),
    *_engine(Group.INFERENCE, "POST", "/v1/audio/transcriptions", "/v1/audio/translations", note=_SPEECH),
    _websocket(Group.INFERENCE, "/v1/realtime", _SPEECH),
    *_engine(Group.INFERENCE, "POST", "/cohere/v2/chat", "/cohere/v2/chat/render", note=_COHERE),
    *_engine(Group.INFERENCE, "GET", "/tokenizer_info", note=_TOKENIZER_INFO),
)

_DOCS = (
    *_engine(
        Group.DOCS,
        "GET",
        "/docs/oauth2-redirect",
        "/static/swagger-ui-bundle.js",
        "/static/swagger-ui.css",
        note="the engine needs --enable-offline-docs, which the launcher sets",
    ),
    *_ours(Group.DOCS, Target.MIDDLEWARE, "/docs", "/openapi.json"),
)

_HEALTH = (
    *_ours(Group.HEALTH, Target.GATEWAY, LIVE, READY),
    *_ours(Group.HEALTH, Target.MIDDLEWARE, STARTUP),
)

_MANAGEMENT = _ours(
    Group.MANAGEMENT,
    Target.MIDDLEWARE,
    "/",
    "/v1/metadata",
    "/v1/version",
    "/v1/license",
    "/v1/manifest",
    "/v1/metrics",
)

_ADAPTERS = _ours(Group.ADAPTERS, Target.MIDDLEWARE, *ADAPTER_ROUTES, note=_LORA, method="POST")

_ASSETS = (
    *_ours(Group.ASSETS, Target.MIDDLEWARE, ASSETS, method="POST"),
    *_ours(Group.ASSETS, Target.MIDDLEWARE, ASSETS, ASSET),
    *_ours(Group.ASSETS, Target.MIDDLEWARE, ASSET, method="DELETE"),
    *_ours(Group.ASSETS, Target.MIDDLEWARE, *NVCF_STATUS_ROUTES, note="of a request answered with 202"),
    *_ours(Group.ASSETS, Target.MIDDLEWARE, ASSET_UPLOAD, method="PUT", note="by the signed address of POST"),
)

# At their usual paths; the agent's file may have others.
_AGENT = (
    *_ours(Group.AGENT, Target.AGENT, "/generate", "/generate/stream", "/generate/full", method="POST"),
    *_ours(Group.AGENT, Target.AGENT, "/chat", "/chat/stream", method="POST"),
    *_ours(Group.AGENT, Target.AGENT, "/generate/async", note=_JOBS, method="POST"),
    *_ours(Group.AGENT, Target.AGENT, AGENT_JOB, note=_JOBS),
    *_ours(Group.AGENT, Target.AGENT, AGENT_JOB, note=_JOBS, method="DELETE"),
    *_ours(Group.AGENT, Target.AGENT, *AGENT_DOCS),
)

_ROUTER = (
    *_ours(Group.ROUTER, Target.GATEWAY, "/health", note=f"the same as {READY}"),
    *_ours(Group.ROUTER, Target.MIDDLEWARE, ROUTER_METRICS, note="the same as /v1/metrics"),
    *_engine(Group.ROUTER, "GET", "/version", note="the engine's own; /v1/version has the service's"),
)

_DEBUG = (
    *_engine(Group.DEBUG, "GET", "/load", "/kv_event_sources"),
    *_engine(Group.DEBUG, "POST", "/v1/chat/completions/batch"),
    *_engine(Group.DEBUG, "POST", "/inference/v1/abort_requests", note=_SCALE_OUT),
    *_engine(Group.DEBUG, "POST", "/start_profile", "/stop_profile", note=_PROFILER),
    *_engine(Group.DEBUG, "GET", "/server_info", "/is_sleeping", "/is_paused", note=_DEV_MODE),
    *_engine(Group.DEBUG, "GET", "/weight_info", "/get_world_size", note=_DEV_MODE),
    *_engine(
        Group.DEBUG,
        "POST",
        "/reset_prefix_cache",
        "/reset_mm_cache",
        "/reset_encoder_cache",
        "/sleep",
        "/wake_up",
        "/release_kv_cache_memory",
        "/pause",
        "/resume",
        "/abort_requests",
        "/init_weight_transfer_engine",
        "/shutdown_weight_transfer_engine",
        "/start_weight_update",
        "/start_draft_weight_update",
        "/update_weights",
        "/finish_weight_update",
        "/update_weight_version",
        "/weight_checker",
        note=_DEV_MODE,
    ),
)

_HIDDEN = (
    *_engine(Group.HIDDEN, "GET", "/ready", "/readyz", note="of the engine's data-parallel supervisor"),
    *_engine(Group.HIDDEN, "GET", "/redoc", note="needs the internet; /docs does not"),
    *_engine(Group.HIDDEN, "POST", "/collective_rpc", note="calls any method inside the engine's workers"),
    *_engine(Group.HIDDEN, "POST", "/scale_elastic_ep", "/is_scaling_elastic_ep", note="resizes the engine"),
    *_engine(Group.HIDDEN, "POST", "/fault_tolerance/apply", note="stops and moves the engine's ranks"),
    *_engine(Group.HIDDEN, "GET", "/fault_tolerance/status", note="belongs to /fault_tolerance/apply"),
    *_engine(Group.HIDDEN, "GET", "/ping", note=_SAGEMAKER),
    *_engine(Group.HIDDEN, "POST", "/ping", "/invocations", "/adapters", note=_SAGEMAKER),
    *_engine(Group.HIDDEN, "DELETE", "/adapters/{adapter_name}", note=_SAGEMAKER),
)

ROUTES: tuple[Route, ...] = (
    *_HEALTH,
    *_INFERENCE,
    *_DOCS,
    *_MANAGEMENT,
    *_ADAPTERS,
    *_ASSETS,
    *_AGENT,
    *_ROUTER,
    *_DEBUG,
    *_HIDDEN,
)

_ELSEWHERE = {
    "/health": READY,
    "/healthz": READY,
    "/v1/health": READY,
    "/ready": READY,
    "/readyz": READY,
    "/ping": READY,
    "/live": LIVE,
    "/livez": LIVE,
    "/redoc": "/docs",
    "/v1/docs": "/docs",
    "/v1/openapi.json": "/openapi.json",
}


def open_instead(groups: Collection[str]) -> dict[str, str]:
    """Return {path that is not open: open route that clients of other servers, who ask for it, mean}."""
    known = {route.path for route in open_routes(groups)}
    versioned = [path for path in known if path.startswith("/v1/") and "{" not in path]
    bare = {path.removeprefix("/v1"): path for path in versioned}
    doubled = {f"/v1{path}": path for path in versioned}
    found = {**bare, **doubled, **_ELSEWHERE}
    return {path: instead for path, instead in found.items() if path not in known and instead in known}


def open_routes(groups: Iterable[str]) -> tuple[Route, ...]:
    """Return a tuple of the Routes of these and the always open groups; SettingsError for unknown ones.

    A group that does not exist, or stays hidden, is a SettingsError.
    """
    wanted = (*ALWAYS_OPEN, *groups)
    for name in wanted:
        if name not in CAN_BE_OPENED:
            raise SettingsError(
                f'cannot open the route group "{name}"',
                allowed=[group.value for group in CAN_BE_OPENED],
                hint="nim routes",
            )
    return tuple(route for route in ROUTES if route.group in wanted)


def let_through(path: str, groups: Collection[str]) -> bool:
    """Return whether the route table has `path` in an open group; path variables as in the table."""
    return any(route.path == path and route.group in (*ALWAYS_OPEN, *groups) for route in ROUTES)
