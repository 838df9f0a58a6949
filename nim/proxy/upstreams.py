"""The replicas of the backends by their network addresses, as nginx and the router know them."""

import hashlib
import ipaddress
from collections.abc import Iterable, Iterator, Sequence

from nim.frozen_dataclass import frozen_dataclass
from nim.proxy.backend_services import SERVING, Backend, Url, parse_url
from nim.render.nginx_backends import Backends, Upstream


@frozen_dataclass
class Place:
    """Where a replica is: the URL in the file, and its `host:port`; several only of a service elsewhere.

    `name` is that of its group in nginx: the same for the same place, in every generation.
    """

    backend: str
    url: Url
    addresses: tuple[str, ...]
    name: str


def place_of(backend: str, url: Url, addresses: tuple[str, ...]) -> Place:
    """Return the Place of a replica at these addresses."""
    text = " ".join((url.text, *addresses))
    name = f"replica_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    return Place(backend=backend, url=url, addresses=addresses, name=name)


def is_literal(host: str) -> bool:
    """Return whether a host is an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def address(host: str, port: int) -> str:
    """Return IP address and port as nginx writes them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def places_of(backend: Backend, url: Url, hosts: Sequence[str]) -> Iterator[Place]:
    """Yield the Places of one URL whose host has these IP addresses: each is a replica.

    Of a service with a key of its own all addresses are one replica, since it is behind a balancer.
    """
    found = [address(host, url.port) for host in sorted(hosts)]
    if backend.key_env or url.scheme == "https":
        if found:
            yield place_of(backend.name, url, tuple(found))
        return
    for each in found:
        yield place_of(backend.name, url, (each,))


def literal_places(backends: Iterable[Backend]) -> tuple[Place, ...]:
    """Return a tuple of the Places whose addresses are known without asking a name server."""
    return tuple(
        place
        for backend in backends
        if backend.state == SERVING
        for url in map(parse_url, backend.urls)
        if is_literal(url.host)
        for place in places_of(backend, url, [url.host])
    )


def nginx_backends(
    backends: Sequence[Backend],
    places: Sequence[Place],
    generation: int,
    *,
    idle_seconds: int,
    authorities: str,
    more: bool,
) -> Backends:
    """Return what nginx is told of the backends; `more` may be found."""
    upstreams = {place.name: Upstream(name=place.name, servers=place.addresses) for place in places}
    return Backends(
        generation=generation,
        upstreams=tuple(upstreams.values()),
        direct=None if more else _only(backends, places),
        external=any(map(_has_elsewhere, backends)),
        authorities=authorities,
        keepalive_timeout_seconds=idle_seconds,
    )


def is_elsewhere(backend: Backend, place: Place) -> bool:
    """Return whether requests to this replica are sent as to a service elsewhere: own key, TLS, or a path."""
    return bool(backend.key_env or place.url.scheme == "https" or place.url.path)


def _has_elsewhere(backend: Backend) -> bool:
    """Return whether a backend has replicas that requests are sent to as to a service elsewhere."""
    urls = map(parse_url, backend.urls)
    return bool(backend.key_env or any(url.scheme == "https" or url.path for url in urls))


def _only(backends: Sequence[Backend], places: Sequence[Place]) -> str | None:
    """Return the name of the only replica of the only backend, if its requests need no decision."""
    if len(backends) != 1 or len(places) != 1:
        return None
    (backend,), (place,) = backends, places
    plain = backend.state == SERVING and len(backend.urls) == 1 and not backend.aliases
    return place.name if plain and not is_elsewhere(backend, place) else None
