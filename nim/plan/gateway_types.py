"""The parts of gateway and agent in a plan.

Where nginx listens, what it limits, and whom it lets in; the workflow behind HTTP, its functions and jobs.
"""

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from nim.frozen_dataclass import frozen_dataclass
from nim.routes import AGENT_DOCS, Group, Route, Target


@frozen_dataclass
class Tls:
    """The PEM files that nginx serves TLS with. `client_authorities`: clients need a certificate of these."""

    certificates: str
    key: str
    client_authorities: str | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """Return a tuple of the paths of certificates, key and, if set, client authorities."""
        return tuple(filter(None, (self.certificates, self.key, self.client_authorities)))


@frozen_dataclass
class ApiKeys:
    """Where API keys come from: a file of digests, VLLM_API_KEY, or both."""

    file: str | None
    from_environment: bool
    exempt: tuple[str, ...] = ()  # route groups and paths that ask for no key
    nginx_modules: tuple[str, ...] = ()  # paths of modules that nginx loads


@frozen_dataclass
class Limits:
    """Limits of requests to the engine; None is no limit. `rate_per_key`: requests per second."""

    requests: int | None = None
    requests_per_key: int | None = None
    rate_per_key: int | None = None


@frozen_dataclass
class Cors:
    """Which pages in browsers may use the service, in the Fetch standard's terms; without `origins`, none.

    `origins`: `*` is any, `local` is the pages of this machine. `headers`: `*` is any that a page asks for.
    """

    origins: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    exposed_headers: tuple[str, ...] = ()
    max_age_seconds: int = 0
    credentials: bool = False


@frozen_dataclass
class Gateway:
    """nginx: listeners, limits and open routes. Times in seconds, sizes in nginx's notation.

    `user`: the user of the workers, set when started as root, so that they reach the engine's socket.
    `tasks`: what the model does, a `Task` each; routes for other models are closed. None: not known.
    `assets_size`: the most room for assets, in nginx's notation; None without the asset store.
    `agent_routes`: what the agent answers; () without one.
    `connections`: limit of one worker, to clients and to the engine together.
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
    tasks: tuple[str, ...] | None = None
    assets_size: str | None = None
    agent_routes: tuple[Route, ...] = ()
    tokenizer_body_size: str = "4m"
    header_timeout_seconds: int = 20
    client_timeout_seconds: int = 60
    upstream_keepalive_timeout_seconds: int = 60
    connections: int = 16_384
    tls: Tls | None = None
    api_keys: ApiKeys | None = None
    limits: Limits = field(default_factory=Limits)
    cors: Cors = field(default_factory=Cors)

    @property
    def assets_bytes(self) -> int | None:
        """Return the most bytes of all assets; None for no limit."""
        text = self.assets_size or "0"
        unit = {"k": 2**10, "m": 2**20, "g": 2**30}.get(text[-1], 1)
        return int(text.rstrip("kmg")) * unit or None

    @property
    def rereads_files(self) -> bool:
        """Return whether nginx uses certificate or key files, which may change while it runs."""
        return bool(self.tls or (self.api_keys and self.api_keys.file))

    @property
    def scheme(self) -> str:
        """Return "https" with TLS, else "http"."""
        return "https" if self.tls else "http"


def most_connections(open_files: int) -> int:
    """Return how many connections an nginx worker may hold with `open_files` open files: 5/8 of it."""
    return open_files * 5 // 8


def gateway_from_json(data: dict[str, Any]) -> Gateway:
    """Return the Gateway in its JSON values."""
    data = tuples(data, "route_groups", *(["tasks"] if data["tasks"] is not None else []))
    keys = data["api_keys"]
    data["api_keys"] = ApiKeys(**tuples(keys, "exempt", "nginx_modules")) if keys else None
    data["tls"] = Tls(**data["tls"]) if data["tls"] else None
    data["agent_routes"] = tuple(_route_from_json(route) for route in data["agent_routes"])
    data["limits"] = Limits(**data["limits"])
    data["cors"] = Cors(**tuples(data["cors"], "origins", "methods", "headers", "exposed_headers"))
    return Gateway(**data)


def _route_from_json(data: Mapping[str, Any]) -> Route:
    """Return the Route in its JSON values."""
    known = {"group": Group(data["group"]), "target": Target(data["target"])}
    return Route(**(tuples(data, "methods") | known))


def tuples(data: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return a copy of the data in which the named fields are tuples instead of lists."""
    return {key: tuple(value) if key in names else value for key, value in data.items()}


@frozen_dataclass
class Component:
    """A workflow, a function or a model of the file: its `_type`, and its other keys."""

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)


@frozen_dataclass
class FrontEnd:
    """The paths of the agent; `openai_api_v1_path` None: there is no such route."""

    path: str = "/generate"
    openai_api_path: str = "/chat"
    openai_api_v1_path: str | None = None


@frozen_dataclass
class Jobs:
    """How asynchronous jobs run. `scheduler_address`: of Dask; None: a cluster of the agent's own.

    The address of a database may have a password, so it is in the environment and not here.
    """

    max_concurrent: int = 10
    workers: str = "processes"
    log_level: str = "WARNING"
    scheduler_address: str | None = None


@frozen_dataclass
class AgentPlan:
    """The agent. `directory`, of its file, is where modules are looked for; `jobs` None: there are none.

    `model`: the name by which the engine serves the model that is used unless `llms` names another.
    """

    directory: str
    model: str
    workflow: Component
    front_end: FrontEnd = field(default_factory=FrontEnd)
    functions: Mapping[str, Component] = field(default_factory=dict)
    llms: Mapping[str, Component] = field(default_factory=dict)
    jobs: Jobs | None = None


def agent_from_json(data: Mapping[str, Any]) -> AgentPlan:
    """Return the AgentPlan in its JSON values."""
    return AgentPlan(
        directory=data["directory"],
        model=data["model"],
        workflow=Component(**data["workflow"]),
        front_end=FrontEnd(**data["front_end"]),
        functions={name: Component(**one) for name, one in data["functions"].items()},
        llms={name: Component(**one) for name, one in data["llms"].items()},
        jobs=Jobs(**data["jobs"]) if data["jobs"] else None,
    )


def agent_routes(front_end: FrontEnd, *, jobs: bool) -> tuple[Route, ...]:
    """Return a tuple of the Routes of an agent with these paths; those of jobs only with `jobs`."""
    path, chat, v1 = front_end.path, front_end.openai_api_path, front_end.openai_api_v1_path
    posts = [path, f"{path}/stream", f"{path}/full"]
    posts += [f"{path}/async"] if jobs else []
    posts += [] if chat == v1 else [chat, f"{chat}/stream"]
    posts += [v1] if v1 else []
    job = f"{path}/async/job/{{job_id}}"
    return (
        *(_route("POST", each) for each in posts),
        *((_route("GET", job), _route("DELETE", job)) if jobs else ()),
        *(_route("GET", each) for each in AGENT_DOCS),
    )


def _route(method: str, path: str) -> Route:
    return Route(methods=(method,), path=path, group=Group.AGENT, target=Target.AGENT)
