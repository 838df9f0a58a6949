"""The gateway's part of a plan: where nginx listens, what it limits, and whom it lets in."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from nim.frozen_dataclass import frozen_dataclass


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
    data["limits"] = Limits(**data["limits"])
    data["cors"] = Cors(**tuples(data["cors"], "origins", "methods", "headers", "exposed_headers"))
    return Gateway(**data)


def tuples(data: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return a copy of the data in which the named fields are tuples instead of lists."""
    return {key: tuple(value) if key in names else value for key, value in data.items()}
