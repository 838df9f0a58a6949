"""The services that a proxy spreads requests over, as its file has them: models and replicas of each."""

from collections.abc import Mapping
from dataclasses import field
from urllib.parse import urlsplit

from nim.frozen_dataclass import frozen_dataclass

SERVING, OFFLINE, RETIRED = "serving", "offline", "retired"
STATES = (SERVING, OFFLINE, RETIRED)
LEAST, PREFIX = "least", "prefix"
ROUTINGS = (LEAST, PREFIX)
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"


@frozen_dataclass
class Backend:
    """One backend. Without `models` its replicas are asked; `aliases` are other names → its models.

    `key_env` names the variable with the key of a service elsewhere; the client's key is not sent to one.
    """

    name: str = field(metadata={"pattern": NAME})
    urls: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    key_env: str | None = field(default=None, metadata={"pattern": "[A-Za-z_][A-Za-z0-9_]*"})
    state: str = SERVING
    routing: str = LEAST


@frozen_dataclass
class Kubernetes:
    """Where backends are found in Kubernetes: Services in a namespace with a label."""

    namespace: str = field(metadata={"pattern": "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"})
    selector: str = "app.nvidia.com/nim-type=inference"


@frozen_dataclass
class Url:
    """The address of a replica. `path` is in front of each route: "" or `/base`."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def text(self) -> str:
        """Return the URL as text, without a slash at its end."""
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def authority(self) -> str:
        """Return host and port as in a Host header: without the scheme's own port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


_PORTS = {"http": 80, "https": 443}


def parse_url(text: str) -> Url:
    """Return the Url in a text; ValueError, with what was expected, for anything but http(s)://host."""
    parts = urlsplit(text)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("expected http://HOST:PORT or https://HOST")
    if parts.username is not None or parts.password is not None:
        raise ValueError("expected no user in it; key_env names the variable with a key")
    if parts.query or parts.fragment:
        raise ValueError("expected neither ? nor #")
    path = parts.path.rstrip("/").removesuffix("/v1")
    if not all(letter.isalnum() or letter in "/._~-" for letter in path):
        raise ValueError("expected a path of letters, digits and ._~- only")
    host = parts.hostname
    if not all(letter.isascii() and (letter.isalnum() or letter in ".:-_") for letter in host):
        raise ValueError("expected a host of letters, digits, dots and hyphens")
    return Url(scheme=parts.scheme, host=host, port=parts.port or _PORTS[parts.scheme], path=path)
