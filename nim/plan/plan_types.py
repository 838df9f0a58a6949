"""Everything decided about one start, as frozen values that can be printed, stored and compared.

A plan contains no secrets: they stay in the environment that the engine inherits. Deciding packages produce
a plan; running packages know only the plan.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, field
from pathlib import Path
from typing import Any, Self

from nim.frozen_dataclass import frozen_dataclass
from nim.plan.fetch_types import AdapterPlan, Download, adapters_from_json, download_from_json
from nim.plan.gateway_types import AgentPlan, Gateway, agent_from_json, gateway_from_json, tuples
from nim.value_origins import Layer, Origin, Value

FORMAT = 1

# Names in the run directory, defined once.
PLAN_FILE = "plan.json"
NGINX_FILE, HEALTH_NGINX_FILE = "nginx.conf", "health.conf"
ARGS_FILE = "vllm.args"
MANIFEST_FILE = "manifest.json"
STATE_FILE = "state.json"
NOT_READY_FILE = "not_ready.json"
VERDICT_FILE = "verdict.json"
READ_AHEAD_FILE = "read_ahead.json"
DRAINING_FILE = "draining"
STALLED_FILE, SERVING_FILE = "stalled", "serving"
# What PID 1 waits for before it calls the service ready; and copies of adapters, with what people chose.
ADAPTERS_FILE, ADAPTERS_DIR = "adapters.json", "adapters"
ASSETS_DIR, AGENT_JOBS_DIR = "assets", "jobs"
LOCK_FILE = "lock"
LOG_DIR = "log"
ENGINE_SOCKET = "engine.sock"
ENGINE_PARTS_DIR = "parts"
MIDDLEWARE_SOCKET, AGENT_SOCKET = "middleware.sock", "agent.sock"
API_KEYS_FILE = "api_keys"
STATUS_SOCKET = "status.sock"
SUPERVISOR_SOCKET = "supervisor.sock"
KV_EVENTS_PORT = "NIM_KV_EVENTS_PORT"
# Of a proxy: its backends, and the named pipe in which nginx tells how each routed request ended.
BACKENDS_FILE = "backends.json"
ENDS_PIPE = "ends"


@frozen_dataclass
class Model:
    """The model to serve. `path` is a local directory, or None if the engine downloads `source`.

    `tasks`: what it does, a `Task` each; None if that is not known.
    """

    name: str
    served_names: tuple[str, ...]
    source: str
    path: str | None
    license_file: str | None
    license_name: str | None
    max_model_len: int | None
    tasks: tuple[str, ...] | None = None


@frozen_dataclass
class ChosenProfile:
    """The chosen profile and the reason for choosing it."""

    id: str
    label: str
    tags: Mapping[str, str]
    because: str


@frozen_dataclass
class Refusal:
    """A profile that was not chosen: what it needs, what was found, what would change that."""

    profile: str
    label: str
    needed: str
    found: str
    change: str | None = None


@frozen_dataclass
class Engine:
    """The engine's command. `env` is added to the inherited environment, `unset` removed from it.

    The gateway connects to exactly one of `socket` (path of a unix socket) and `port` (loopback TCP).
    """

    name: str
    version: str | None
    argv: tuple[str, ...]
    env: Mapping[str, str]
    unset: tuple[str, ...]
    socket: str | None
    port: int | None

    @property
    def address(self) -> str:
        """Return the engine's address as text for nginx: `unix:PATH` or `127.0.0.1:PORT`."""
        return f"unix:{self.socket}" if self.socket else f"127.0.0.1:{self.port}"


@frozen_dataclass
class ReadAhead:
    """Weights to read into the page cache while the engine starts: absolute paths, in the order of loading.

    Of these, no more than `limit_bytes` are read: what memory holds beside what the engine needs.
    """

    files: tuple[str, ...]
    limit_bytes: int


MOST_PREFIX_BYTES = 4 * 1024 * 1024
"""Of the file of prefixes, which PID 1 holds in memory while it sends them."""


@frozen_dataclass
class WarmUp:
    """Requests sent through the engine before the service is ready, for at most `seconds` in all.

    `model` is the name by which the engine serves it. `file` holds prefixes, one JSON value per line.
    """

    seconds: float
    model: str
    file: str | None = None


@frozen_dataclass
class RenderedFile:
    """A file of the run directory, with its path relative to it."""

    path: str
    text: str
    mode: int = 0o600


@frozen_dataclass
class Plan:
    """A complete start. `config` maps each option to its value with its history.

    `proxy`: requests go to services elsewhere; the engine is the router, which answers all management routes.
    `machine` describes the hardware, equal for machines of a kind. 0 turns off a timeout or probe interval.
    """

    release: str
    run_dir: str
    cache_dir: str
    log_level: str
    json_logs: bool
    shutdown_timeout_seconds: float
    model: Model
    profile: ChosenProfile
    engine: Engine
    gateway: Gateway
    config: Mapping[str, Value]
    proxy: bool = False
    machine: str = ""
    download: Download | None = None
    adapters: AdapterPlan | None = None
    read_ahead: ReadAhead | None = None
    warm_up: WarmUp | None = None
    agent: AgentPlan | None = None
    refused: tuple[Refusal, ...] = ()
    warnings: tuple[str, ...] = ()
    stall_timeout_seconds: float = 0.0
    probe_interval_seconds: float = 0.0
    cache_probe_seconds: float = 0.0
    files: tuple[RenderedFile, ...] = field(default=())

    @property
    def hash(self) -> str:
        """Return a SHA-256, 64 hex digits, over what decides how the service behaves."""
        import hashlib  # not loaded by PID 1, which needs no hash

        decided = {
            "release": self.release,
            "model": asdict(self.model),
            "profile": self.profile.id,
            "engine": asdict(self.engine),
            "gateway": asdict(self.gateway),
        } | ({"agent": asdict(self.agent)} if self.agent else {})
        text = json.dumps(decided, sort_keys=True, default=str).replace(self.run_dir, "")
        return hashlib.sha256(text.encode()).hexdigest()

    def file(self, name: str) -> Path:
        """Return the path of the file `name` in the run directory."""
        return Path(self.run_dir) / name

    def to_json(self) -> str:
        """Return the plan as the text of one JSON object, readable by `from_json`."""
        return json.dumps({"format": FORMAT, "hash": self.hash} | asdict(self), ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the Plan in text that `to_json` wrote; ValueError for a plan of another format."""
        data = json.loads(text)
        if data.pop("format") != FORMAT:
            raise ValueError("the plan was written by another release")
        data.pop("hash")
        tasks = ["tasks"] if data["model"]["tasks"] is not None else []
        data["model"] = Model(**tuples(data["model"], "served_names", *tasks))
        data["profile"] = ChosenProfile(**data["profile"])
        data["engine"] = Engine(**tuples(data["engine"], "argv", "unset"))
        data["gateway"] = gateway_from_json(data["gateway"])
        data["download"] = download_from_json(data["download"]) if data["download"] else None
        data["adapters"] = adapters_from_json(data["adapters"]) if data["adapters"] else None
        data["read_ahead"] = ReadAhead(**tuples(data["read_ahead"], "files")) if data["read_ahead"] else None
        data["warm_up"] = WarmUp(**data["warm_up"]) if data["warm_up"] else None
        data["agent"] = agent_from_json(data["agent"]) if data["agent"] else None
        data["config"] = {name: value_from_json(value) for name, value in data["config"].items()}
        data["refused"] = tuple(Refusal(**refusal) for refusal in data["refused"])
        data["warnings"] = tuple(data["warnings"])
        data["files"] = tuple(RenderedFile(**file) for file in data["files"])
        return cls(**data)


def value_from_json(data: Mapping[str, Any]) -> Value:
    """Return the Value, with its history, in its JSON values."""
    origin = Origin(layer=Layer(data["origin"]["layer"]), place=data["origin"]["place"])
    previous = tuple(value_from_json(older) for older in data["previous"])
    return Value(value=data["value"], origin=origin, previous=previous)
