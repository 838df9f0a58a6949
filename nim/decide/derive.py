"""What follows from other values: the engine's address, its name for the model, the environment it needs.

Everything here yields to whatever a person wrote, except what the launcher owns: the address.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from nim.decide.layers import Entry, entries
from nim.plan import ENGINE_SOCKET
from nim.values import Layer, Origin

# vLLM must keep an idle connection longer than nginx does, or a request meets one that just closed.
ENGINE_KEEPALIVE_SECONDS = 3600

# `/inference/v1/generate` and the render routes exist only with `enable_scale_out`; cache hits show up in
# `usage` only with the second; `/docs` needs no internet with the third; nginx logs the requests.
HOUSE_OPTIONS = {
    "enable_scale_out": True,
    "enable_prompt_tokens_details": True,
    "enable_offline_docs": True,
    "disable_uvicorn_access_log": True,
}
HOUSE_VARIABLES = {
    "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": str(ENGINE_KEEPALIVE_SECONDS),
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the derived values follow from. Paths are absolute."""

    run_dir: str
    cache_dir: str
    log_level: str
    backend_port: int | None
    model_name: str
    revision: str | None


def default_entries() -> Iterator[Entry]:
    """The house's own defaults, the weakest layer that is said aloud."""
    yield from entries(Layer.DEFAULT, "nim", HOUSE_OPTIONS)
    yield from entries(Layer.DEFAULT, "nim", HOUSE_VARIABLES)


def derived_entries(around: Surroundings) -> Iterator[Entry]:
    """The layer between the defaults and the profile."""
    yield _derived("served_model_name", [around.model_name], "the model's name")
    if around.revision:
        yield _derived("revision", around.revision, "the revision in the model's URI")
    yield _derived("HF_HOME", f"{around.cache_dir}/huggingface", "NIM_CACHE_PATH")
    yield _derived("VLLM_CACHE_ROOT", f"{around.cache_dir}/vllm", "NIM_CACHE_PATH")
    yield _derived("VLLM_LOGGING_LEVEL", around.log_level, "NIM_LOG_LEVEL")


def address_entries(around: Surroundings) -> Iterator[Entry]:
    """Where the engine listens. On a unix socket it still gets a port of its own: it looks that up on stop."""
    if around.backend_port is None:
        yield _derived("uds", f"{around.run_dir}/{ENGINE_SOCKET}", "nothing but the gateway reaches it")
        return
    origin = Origin(layer=Layer.ENV, place="NIM_BACKEND_PORT")
    yield _derived("host", "127.0.0.1", "nothing beyond this machine reaches it")
    yield Entry(name="port", value=around.backend_port, origin=origin)


def _derived(name: str, value: object, place: str) -> Entry:
    return Entry(name=name, value=value, origin=Origin(layer=Layer.DERIVED, place=place))
