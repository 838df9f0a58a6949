"""The hinge: everything decided about one start, as frozen values that can be printed, stored and compared.

A plan holds no secret: what is secret stays in the environment that the engine inherits.
Those who decide end here; those who act begin here.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from nim.values import Layer, Origin, Value

FORMAT = 1

# What lies in the run directory, one name each, so that no two rooms disagree.
PLAN_FILE = "plan.json"
NGINX_FILE = "nginx.conf"
ARGS_FILE = "vllm.args"
MANIFEST_FILE = "manifest.json"
STATE_FILE = "state.json"
NOT_READY_FILE = "not_ready.json"
VERDICT_FILE = "verdict.json"
DRAINING_FILE = "draining"
STALLED_FILE = "stalled"
LOCK_FILE = "lock"
LOG_DIR = "log"
ENGINE_SOCKET = "engine.sock"
ENGINE_PARTS_DIR = "parts"
MIDDLEWARE_SOCKET = "middleware.sock"
STATUS_SOCKET = "status.sock"
SUPERVISOR_SOCKET = "supervisor.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What is served. `path` is a local directory, or None when the engine fetches `source` itself."""

    name: str
    served_names: tuple[str, ...]
    source: str
    path: str | None
    license_file: str | None
    license_name: str | None
    max_model_len: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenProfile:
    """The one profile of this start and the sentence that says why it won."""

    id: str
    label: str
    tags: Mapping[str, str]
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A profile that was not chosen: what it needed against what was found, and what would change that."""

    profile: str
    label: str
    needed: str
    found: str
    change: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The engine's program. `env` is added to the inherited environment, `unset` is taken from it.

    Exactly one of `socket` (path of a unix socket) and `port` (loopback TCP) is what the gateway connects to.
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
        """The engine's address as nginx writes an upstream server."""
        return f"unix:{self.socket}" if self.socket else f"127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """What the engine fetches by itself: the directory that grows by it, and its size where that is known."""

    directory: str
    total_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A repository that an engine looks for in a hub's `cache`. `load_format`, `ignored` narrow its weights.

    Without a load format only what stands beside the weights is wanted, such as a tokenizer.
    """

    repository: str
    revision: str | None
    cache: str
    load_format: str | None = "auto"
    ignored: tuple[str, ...] = ()

    @property
    def directory(self) -> Path:
        """Where the hub's client keeps it."""
        return Path(self.cache) / f"models--{self.repository.replace('/', '--')}"

    @property
    def uri(self) -> str:
        """As it is written in NIM_MODEL_PATH."""
        return f"hf://{self.repository}" + (f":{self.revision}" if self.revision else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """nginx: where it listens and what it lets through. Times are seconds, sizes as nginx writes them.

    `user` is whom the workers must be to reach the engine's private socket: set when started as root.
    `connections` are the most that one worker holds, to clients and to the engine together.
    `allowed_origins` are those whose pages may read what the engine answers, and so our errors; `*` is any.
    """

    server_port: int
    health_port: int | None
    listen_ipv6: bool
    user: str | None
    worker_processes: int
    max_body_size: str
    read_timeout_seconds: int
    send_timeout_seconds: int
    keepalive_timeout_seconds: int
    route_groups: tuple[str, ...]
    header_timeout_seconds: int = 20
    client_timeout_seconds: int = 60
    upstream_keepalive_timeout_seconds: int = 60
    connections: int = 16_384
    allowed_origins: tuple[str, ...] = ()


def most_connections(open_files: int) -> int:
    """What a worker can hold, if each second one has a body on disk; the rest is for logs and listeners."""
    return open_files * 5 // 8


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedFile:
    """A file of the run directory, named relative to it."""

    path: str
    text: str
    mode: int = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One start, whole. `config` maps an option's name to its value with its whole history.

    `machine` is what it runs on, in words that are the same for machines of a kind.
    A time-out of 0, for stalls or for the cache, or an interval of probes of 0, means none.
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
    machine: str = ""
    download: Download | None = None
    refused: tuple[Refusal, ...] = ()
    warnings: tuple[str, ...] = ()
    stall_timeout_seconds: float = 0.0
    probe_interval_seconds: float = 0.0
    cache_probe_seconds: float = 0.0
    files: tuple[RenderedFile, ...] = field(default=())

    @property
    def hash(self) -> str:
        """64 hex digits over what decides how the service behaves: equal plans, equal hash."""
        import hashlib  # PID 1 reads a plan and never needs its hash

        decided = {
            "release": self.release,
            "model": asdict(self.model),
            "profile": self.profile.id,
            "engine": asdict(self.engine),
            "gateway": asdict(self.gateway),
        }
        text = json.dumps(decided, sort_keys=True, default=str).replace(self.run_dir, "")
        return hashlib.sha256(text.encode()).hexdigest()

    def file(self, name: str) -> Path:
        """The path of a file in the run directory."""
        return Path(self.run_dir) / name

    def to_json(self) -> str:
        """The whole plan as one JSON object; `Plan.from_json` reads it back to an equal value."""
        return json.dumps({"format": FORMAT, "hash": self.hash} | asdict(self), ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote. A plan of another format is an error of ours, not the user's."""
        data = json.loads(text)
        if data.pop("format") != FORMAT:
            raise ValueError("the plan was written by another release")
        data.pop("hash")
        data["model"] = Model(**_tuples(data["model"], "served_names"))
        data["profile"] = ChosenProfile(**data["profile"])
        data["engine"] = Engine(**_tuples(data["engine"], "argv", "unset"))
        data["gateway"] = Gateway(**_tuples(data["gateway"], "route_groups", "allowed_origins"))
        data["download"] = Download(**data["download"]) if data["download"] else None
        data["config"] = {name: value_from_json(value) for name, value in data["config"].items()}
        data["refused"] = tuple(Refusal(**refusal) for refusal in data["refused"])
        data["warnings"] = tuple(data["warnings"])
        data["files"] = tuple(RenderedFile(**file) for file in data["files"])
        return cls(**data)


def value_from_json(data: Mapping[str, Any]) -> Value:
    """The inverse of `asdict` for a value with its history."""
    origin = Origin(layer=Layer(data["origin"]["layer"]), place=data["origin"]["place"])
    previous = tuple(value_from_json(older) for older in data["previous"])
    return Value(value=data["value"], origin=origin, previous=previous)


def _tuples(data: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """JSON has lists only: the named fields become tuples again."""
    return {key: tuple(value) if key in names else value for key, value in data.items()}
