"""Read the backends of a proxy from YAML or JSON, with errors that name the line."""

from collections.abc import Mapping
from pathlib import Path

from yaml import Node

from nim.errors import SettingsError
from nim.frozen_dataclass import frozen_dataclass
from nim.manifest.yaml_nodes import Place, compose, elements, items
from nim.manifest.yaml_to_dataclass import read
from nim.proxy.backend_services import ROUTINGS, SERVING, STATES, Backend, Kubernetes, parse_url
from nim.read_regular_file import read_text

MAX_BYTES = 4 * 1024**2
MOST_REPLICAS = 1000
VARIABLE = "NIM_PROXY_BACKENDS"


@frozen_dataclass
class Document:
    """The whole file: backends, and where more of them are found."""

    backends: tuple[Backend, ...] = ()
    kubernetes: Kubernetes | None = None


def read_backends_file(path: Path) -> str:
    """Return the text of a file of backends; SettingsError if it cannot be read."""
    try:
        return read_text(path, MAX_BYTES)
    except OSError as error:
        message = f"cannot read the backends '{path}': {error.strerror}"
    except UnicodeDecodeError:
        message = f"cannot read the backends '{path}': it is not UTF-8 text"
    raise SettingsError(message, hint="nim proxy FILE, with a file as in docs/proxy.md")


def parse_backends(text: str, name: str) -> Document:
    """Return the Document in `text`; ManifestError, with the line, for what is wrong in it."""
    place = Place(name, "the backends", "backends:", "nim proxy --check")
    if text.lstrip().startswith("["):
        text = f'{{"backends": {text}}}'
    root = compose(text, place)
    document: Document = read(Document, root, place, "the backends")
    parts = {key: value for key, _, value in items(root, place, "the backends")}
    if not parts:
        place.refuse(root, "read the backends: there is neither `backends` nor `kubernetes`")
    listed = elements(parts["backends"], place, "backends") if "backends" in parts else []
    names: dict[str, Node] = {}
    urls: dict[str, str] = {}
    for backend, node in zip(document.backends, listed, strict=True):
        if backend.name in names:
            line = names[backend.name].start_mark.line + 1
            place.refuse(node, f"use the name '{backend.name}' twice: it is already in line {line}")
        names[backend.name] = node
        _check_words(backend, node, place)
        _check_urls(backend, node, place, urls)
    if len(urls) > MOST_REPLICAS:
        place.refuse(root, f"use {len(urls)} replicas: {MOST_REPLICAS} are the most")
    return document


def _check_words(backend: Backend, node: Node, place: Place) -> None:
    """Raise ManifestError for an unknown state or routing, and for a model name that no request can have."""
    if backend.state not in STATES:
        place.refuse(node, f"use '{backend.state}' as the state of '{backend.name}'", allowed=STATES)
    if backend.routing not in ROUTINGS:
        place.refuse(node, f"use '{backend.routing}' as the routing of '{backend.name}'", allowed=ROUTINGS)
    if backend.state != SERVING and not backend.models:
        place.refuse(
            node,
            f"use the state {backend.state} for '{backend.name}' without its models",
            hint="models: [org/name]",
        )
    for name in (*backend.models, *backend.aliases, *backend.aliases.values()):
        if not name or name != name.strip() or not name.isprintable():
            place.refuse(node, f"use {name!r} as the name of a model of '{backend.name}'")


def _check_urls(backend: Backend, node: Node, place: Place, seen: dict[str, str]) -> None:
    """Raise ManifestError for a URL that cannot be used, or that another backend has as well."""
    if backend.state == SERVING and not backend.urls:
        place.refuse(node, f"use '{backend.name}' without urls", hint="urls: [http://HOST:8000]")
    for text in backend.urls:
        try:
            url = parse_url(text).text
        except ValueError as error:
            place.refuse(node, f"use '{text}' as a URL of '{backend.name}': {error}")
        if url in seen:
            place.refuse(node, f"use {url} twice: for '{seen[url]}' and for '{backend.name}'")
        seen[url] = backend.name


def check_keys(backends: tuple[Backend, ...], environ: Mapping[str, str]) -> None:
    """Raise SettingsError if a variable that a backend's key should be in is not set, or cannot be sent."""
    for backend in backends:
        if not backend.key_env or backend.state != SERVING:
            continue
        key = environ.get(backend.key_env, "")
        if not key:
            raise SettingsError(
                f"cannot use the backend '{backend.name}': its key should be in {backend.key_env}, "
                "which is not set",
                hint=f"{backend.key_env}=… in the environment of nim proxy",
            )
        if not (key.isascii() and key.isprintable()):
            raise SettingsError(
                f"cannot use the key in {backend.key_env} of the backend '{backend.name}': "
                "it has characters that no HTTP header can have",
                hint=f'printf %s "${backend.key_env}" | od -c',
            )
