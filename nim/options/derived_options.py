"""Values that follow from others: the engine's address, its name for the model, its environment.

The user may override all of them except the address and the choice of GPUs, which the launcher sets.
"""

from collections.abc import Collection, Iterator

from nim.frozen_dataclass import frozen_dataclass
from nim.models.requested_model import Source
from nim.options.option_layers import VISIBLE_DEVICES, Entry, entries
from nim.plan import ENGINE_SOCKET, KV_EVENTS_PORT
from nim.selection.memory import ENGINE_UTILIZATION
from nim.selection.select import Selection
from nim.value_origins import Layer, Origin

# vLLM must keep idle connections longer than nginx, or a request meets one that was just closed.
ENGINE_KEEPALIVE_SECONDS = 3600

# The first provides `/inference/v1/generate` and the render routes; the second reports cache hits in `usage`;
# with the third, `/docs` needs no internet; the fourth is set because nginx logs the requests.
DEFAULT_OPTIONS = {
    "enable_scale_out": True,
    "enable_prompt_tokens_details": True,
    "enable_offline_docs": True,
    "disable_uvicorn_access_log": True,
}
DEFAULT_VARIABLES = {
    "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": str(ENGINE_KEEPALIVE_SECONDS),
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}

# What one request may ask for, where vLLM's own bound is far above what the batch holds: answers to a prompt
# (16384; OpenAI's API takes 128) and prompts (1024). A media address that is allowed could redirect to one
# that is not.
REQUEST_BOUNDS = {
    "VLLM_MAX_N_SEQUENCES": "128",
    "VLLM_MAX_COMPLETION_PROMPTS": "128",
    "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
}

# Whoever sets one of these has processes on other machines, perhaps.
SEVERAL_NODES = frozenset(
    {"data_parallel_address", "distributed_executor_backend", "master_addr", "nnodes", "node_rank"}
)
LOOPBACK = {"VLLM_HOST_IP": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}


@frozen_dataclass
class HostFacts:
    """The environment of the service. Paths are absolute; `user` is set if it runs as root.

    `nginx_modules`: paths of the modules that check API keys, in the order of loading; empty without them.
    `has_home` and `has_name`: the user has a home directory, and an entry in /etc/passwd.
    """

    run_dir: str
    cache_dir: str
    runtime_cache_dir: str
    offline: bool
    user: str | None
    has_ipv6: bool
    worker_processes: int
    open_files: int
    has_home: bool = True
    has_name: bool = True
    can_compile: bool = True
    nginx_modules: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def default_entries() -> Iterator[Entry]:
    """Yield an Entry for each of this project's own defaults, the weakest layer."""
    yield from entries(Layer.DEFAULT, "nim", DEFAULT_OPTIONS)
    yield from entries(Layer.DEFAULT, "nim", DEFAULT_VARIABLES)
    yield from entries(Layer.DEFAULT, "nim: bounds of one request", REQUEST_BOUNDS)


def derived_entries(
    environment: HostFacts, source: Source, model_name: str, log_level: str, selection: Selection
) -> Iterator[Entry]:
    """Yield Entries for served name, revision, GPU memory share, cache directories and log level."""
    yield _derived("served_model_name", [model_name], "the model's name")
    yield from revision_entries(source)
    if selection.utilization is not None:
        yield _derived("gpu_memory_utilization", selection.utilization, _why_share(selection.utilization))
    yield from cache_entries(environment)
    yield _derived("VLLM_LOGGING_LEVEL", log_level, "NIM_LOG_LEVEL")


def revision_entries(source: Source) -> Iterator[Entry]:
    """Yield an Entry for `--revision` if the source names one; nothing otherwise."""
    if source.revision:
        yield _derived("revision", source.revision, "the revision in the model's URI")


def cache_entries(environment: HostFacts) -> Iterator[Entry]:
    """Yield Entries for HF_HOME and VLLM_CACHE_ROOT, and HF_HUB_OFFLINE if downloads are disabled."""
    yield _derived("HF_HOME", f"{environment.cache_dir}/huggingface", "NIM_CACHE_PATH")
    yield _derived("VLLM_CACHE_ROOT", environment.runtime_cache_dir, "NIM_RUNTIME_CACHE_PATH, NIM_CACHE_PATH")
    if environment.offline:
        yield _derived("HF_HUB_OFFLINE", "1", "NIM_DISABLE_MODEL_DOWNLOAD")


def address_entries(environment: HostFacts, server_port: int, backend_port: int | None) -> Iterator[Entry]:
    """Yield Entries for the engine's address: `uds` and a spare `port`, or `host` and `port`."""
    if backend_port is None:
        yield _derived("uds", f"{environment.run_dir}/{ENGINE_SOCKET}", "nothing but the gateway reaches it")
        yield _derived("port", server_port + 1 if server_port < 65535 else 1, "not the gateway's")
        return
    yield _derived("host", "127.0.0.1", "nothing beyond this machine reaches it")
    origin = Origin(layer=Layer.ENV, place="NIM_BACKEND_PORT")
    yield Entry(name="port", value=backend_port, origin=origin)


def kv_event_entries(port: int | None) -> Iterator[Entry]:
    """Yield an Entry that lets the engine publish events of its KV cache on `port`; nothing for None."""
    if port is not None:
        value = {"enable_kv_cache_events": True, "publisher": "zmq", "endpoint": f"tcp://*:{port}"}
        origin = Origin(layer=Layer.ENV, place=KV_EVENTS_PORT)
        yield Entry(name="kv_events_config", value=value, origin=origin)


def loopback_entries(said: Collection[str]) -> Iterator[Entry]:
    """Yield Entries that keep the engine's processes on loopback; nothing if `said` has other nodes.

    By default vLLM, gloo and NCCL take the interface of the default route or of the host's name.
    """
    if not SEVERAL_NODES.isdisjoint(said):
        return
    for name, value in LOOPBACK.items():
        yield _derived(name, value, "the engine's processes are on one machine")


def device_entries(selection: Selection) -> Iterator[Entry]:
    """Yield Entries for CUDA_DEVICE_ORDER and CUDA_VISIBLE_DEVICES; nothing on a CPU."""
    if not selection.devices:
        return
    yield _derived("CUDA_DEVICE_ORDER", "PCI_BUS_ID", "the order in which GPUs are counted")
    uuids = [device.uuid for device in selection.devices]
    if all(uuids):
        names = ",".join(uuid for uuid in uuids if uuid)
        yield _derived(VISIBLE_DEVICES, names, f"the GPUs of {selection.chosen.label}")


def _why_share(utilization: float) -> str:
    """Return as text why the memory utilization differs from the engine's default."""
    if utilization < ENGINE_UTILIZATION:
        return f"what is free on the GPUs: the engine's {ENGINE_UTILIZATION} is more"
    return f"what the weights need: the engine's {ENGINE_UTILIZATION} is less"


def _derived(name: str, value: object, place: str) -> Entry:
    """Return an Entry of the derived layer whose origin is the reason `place`."""
    return Entry(name=name, value=value, origin=Origin(layer=Layer.DERIVED, place=place))
