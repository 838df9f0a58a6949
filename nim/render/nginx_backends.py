"""Values of a proxy in the templates of nginx: the replicas of its backends, and the routes to them."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from nim.frozen_dataclass import frozen_dataclass
from nim.plan import Gateway
from nim.render.nginx_locations import Location, MiddlewareRoute, asks_for_key, location_of
from nim.render.nginx_quoting import Verbatim, quote
from nim.routes import ALWAYS_OPEN, MODELS, ROUTER_METRICS, ROUTES, Group, Route, Target

HEALTHY = "/health"
# One model of the list; its name may have slashes.
MODEL = "/v1/models/{model}"
# This route's model is in no place where a router could read it.
_NOT_ROUTED = ("/tokenizer_info", MODELS)


@frozen_dataclass
class Upstream:
    """One replica in nginx: a name, and its addresses `host:port`; several only of a service elsewhere."""

    name: str
    servers: tuple[str, ...]


@frozen_dataclass
class Backends:
    """What nginx knows of the backends. `direct`: the only replica, to which it sends without the router.

    `generation` grows with each change, so that the router knows which replicas a worker has. `authorities`
    is the file with the certificate authorities that services elsewhere are checked against.
    """

    generation: int
    upstreams: tuple[Upstream, ...]
    direct: str | None = None
    external: bool = False
    authorities: str = "/etc/ssl/certs/ca-certificates.crt"
    connect_timeout_seconds: int = 2
    idle_connections: int = 64
    keepalive_timeout_seconds: int = 4


def backend_values(backends: Backends) -> dict[str, Any]:
    """Return {name in the template: value} of the backends."""
    websockets = "|".join(re.escape(route.path) for route in routed_routes() if route.websocket)
    paths = "|".join(re.escape(route.path) for route in routed_routes() if "{" not in route.path)
    names = ("generation", "upstreams", "direct", "external", "authorities")
    times = ("connect_timeout_seconds", "idle_connections", "keepalive_timeout_seconds")
    return {name: getattr(backends, name) for name in (*names, *times)} | {
        "paths": Verbatim(paths),
        "websockets": Verbatim(websockets),
    }


def routed_routes() -> tuple[Route, ...]:
    """Return a tuple of the Routes whose requests a proxy sends to a backend."""
    return tuple(
        route for route in ROUTES if route.group is Group.INFERENCE and route.path not in _NOT_ROUTED
    )


def proxy_routes(gateway: Gateway) -> tuple[Route, ...]:
    """Return a tuple of the open Routes of a proxy, all but those of health."""
    inference = (*routed_routes(), _own(Group.INFERENCE, MODELS), _own(Group.INFERENCE, MODEL))
    management = [
        replace(route, note="")
        for route in ROUTES
        if route.group in (Group.MANAGEMENT, Group.ROUTER) and route.path not in (HEALTHY, "/version")
    ]
    unknown = ("/v1/license", "/v1/manifest")
    return tuple(
        route
        for route in (*inference, *management)
        if route.group in gateway.route_groups and route.path not in unknown
    )


def _own(group: Group, path: str) -> Route:
    """Return the Route of a GET that the router answers itself."""
    return Route(methods=("GET",), path=path, group=group, target=Target.MIDDLEWARE)


def router_routes(gateway: Gateway) -> list[MiddlewareRoute]:
    """Return a list of what the router answers itself: health, the models, the management routes."""
    health = [_own(Group.HEALTH, HEALTHY), *_of_health()]
    asked = [route for route in proxy_routes(gateway) if route.target is Target.MIDDLEWARE]
    return [_location_of_router_route(route, gateway) for route in (*health, *asked)]


def _of_health() -> Iterator[Route]:
    """Yield the health routes that are not nginx's own."""
    for route in ROUTES:
        if route.group in ALWAYS_OPEN and route.target is Target.MIDDLEWARE:
            yield route


def _location_of_router_route(route: Route, gateway: Gateway) -> MiddlewareRoute:
    """Return the nginx values that send a route to the router; a variable at its end stands for anything."""
    fixed, variable, _ = route.path.partition("{")
    match = f'~ "^{re.escape(fixed)}."' if variable else f"= {quote(route.path)}"
    upstream = "http://middleware" if variable else f"http://middleware{route.path}"
    return MiddlewareRoute(
        path=route.path,
        match=Verbatim(match),
        upstream=Verbatim(quote(upstream)),
        asks_for_key=asks_for_key(route, gateway),
    )


def routed_locations(gateway: Gateway, backends: Backends) -> list[Location]:
    """Return a list of the Locations of inference: each asks the router, or is sent to the only replica."""
    routes = [route for route in proxy_routes(gateway) if route.target is Target.ENGINE]
    return [_routed(location_of((route,), gateway), route, backends) for route in routes]


def _routed(location: Location, route: Route, backends: Backends) -> Location:
    """Return a route's Location, changed so that its requests reach a backend."""
    behind = location.upstream.replace("http://engine", "").replace("$is_args$args", "")
    allowed = "|".join(("OPTIONS", *route.methods, *(["HEAD"] if location.readable else [])))
    upstream = location.upstream
    if backends.direct:
        upstream = Verbatim(upstream.replace("http://engine", f"http://{backends.direct}"))
    return replace(
        location,
        upstream=upstream,
        refused_methods=f"^(?!(?:{allowed})\\z)",
        routed_as=route.path,
        backend_path=Verbatim(behind),
    )


def metrics_paths() -> tuple[str, ...]:
    """Return the paths on which the router's metrics are."""
    return ("/v1/metrics", ROUTER_METRICS)
