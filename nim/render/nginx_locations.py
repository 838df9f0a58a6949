"""The locations of nginx: one for each open route, with what nginx needs to know about it."""

import re
from collections.abc import Collection, Iterable, Sequence

from nim.frozen_dataclass import frozen_dataclass
from nim.plan import Gateway
from nim.render.nginx_quoting import Verbatim, quote
from nim.routes import (
    ALWAYS_OPEN,
    ASSET_UPLOAD,
    ASSETS,
    CHAT,
    LIVE,
    MODELS,
    ROUTES,
    TOKENIZER_ROUTES,
    Group,
    Route,
    Target,
)

# Groups that the middleware or the agent answers, whose requests have bodies.
_WITH_BODIES = (Group.ADAPTERS, Group.ASSETS, Group.AGENT)
# Of an agent, unless NIM_PROXY_CLIENT_MAX_BODY_SIZE says another: Python parses its bodies in one piece.
AGENT_BODY_SIZE = "64m"
_SEGMENT = "[A-Za-z0-9._:-]+"


@frozen_dataclass
class Location:
    """An engine route in nginx: its path in a location and in a map, and where requests are sent.

    `lost_page`: what answers instead if the middleware, which asks the engine, is not there; None: the engine
    itself is asked. For a proxy: a pattern of the methods that nginx refuses, the route's name for the
    router, and the path behind it.
    """

    match: Verbatim
    map_key: Verbatim
    upstream: Verbatim
    websocket: bool
    readable: bool
    allow: str
    asks_for_key: bool
    max_body_size: str | None
    streams_body: bool
    writes_address: bool
    lost_page: Verbatim | None
    refused_methods: str = ""
    routed_as: str = ""
    backend_path: Verbatim = Verbatim("")


@frozen_dataclass
class MiddlewareRoute:
    """A route of the middleware in nginx: its path in the route table, in a location, and behind it."""

    path: str
    match: Verbatim
    upstream: Verbatim
    asks_for_key: bool


def middleware_routes(routes: Iterable[Route], gateway: Gateway) -> list[MiddlewareRoute]:
    """Return a list with a MiddlewareRoute for each of the routes that the middleware answers."""
    return [
        MiddlewareRoute(
            path=route.path,
            match=Verbatim(f"= {quote(route.path)}"),
            upstream=Verbatim(quote(f"http://middleware{route.path}")),
            asks_for_key=asks_for_key(route, gateway),
        )
        for route in routes
        if route.target is Target.MIDDLEWARE and route.group not in _WITH_BODIES
    ]


def ready_paths(routes: Iterable[Route]) -> list[str]:
    """Return a list of the paths on which nginx answers whether the service is ready."""
    return [route.path for route in routes if route.target is Target.GATEWAY and route.path != LIVE]


def closed_router_paths(routes: Collection[Route]) -> list[str]:
    """Return a list of the paths of the group router; empty if it is open."""
    return [route.path for route in ROUTES if route.group is Group.ROUTER and route not in routes]


def engine_locations(routes: Iterable[Route], gateway: Gateway) -> list[Location]:
    """Return a list with one Location for each path of the engine, whatever its methods.

    Routes of adapters, assets and the agent are among them: their requests have bodies, and count as the
    engine's.
    """
    by_path: dict[str, list[Route]] = {}
    for route in routes:
        if route.target is Target.ENGINE or route.group in _WITH_BODIES:
            by_path.setdefault(route.path, []).append(route)
    return [location_of(same, gateway) for same in by_path.values()]


def location_of(same: Sequence[Route], gateway: Gateway) -> Location:
    """Return the Location of routes with the same path; the upstream path is the route table's."""
    route = same[0]
    methods = {method for each in same for method in each.methods}
    readable = "GET" in methods and not route.websocket
    allowed = [*sorted(methods), *(["HEAD"] if readable else []), "OPTIONS"]
    server = "middleware" if route.target is Target.MIDDLEWARE else "engine"
    if route.target is Target.AGENT:  # is sent the path as it came: a job's id may have any character
        fixed, variable, _ = route.path.partition("{")
        match, upstream = f"{'^~' if variable else '='} {quote(fixed)}", '"http://agent"'
        map_key = f'"~^{re.escape(fixed)}"' if variable else quote(fixed)
    elif "{" not in route.path:
        match, upstream = f"= {quote(route.path)}", quote(f"http://{server}{route.path}")
        map_key = quote(route.path)
        if route.path == CHAT and gateway.assets_size:
            upstream = f'"http://$chat_upstream{route.path}$is_args$args"'
        if route.path == MODELS:
            upstream = f'"http://$models_upstream{route.path}$is_args$args"'
    else:
        pattern = re.sub(r"\{(\w+)\}", rf"(?<\1>{_SEGMENT})", route.path)
        path = re.sub(r"\{(\w+)\}", r"${\1}", route.path)
        match, upstream = f'~ "^{pattern}\\z"', f'"http://{server}{path}$is_args$args"'
        map_key = f'"~^{pattern}\\z"'.replace("?<", "?<any_")
    return Location(
        match=Verbatim(match),
        map_key=Verbatim(map_key),
        upstream=Verbatim(upstream),
        websocket=route.websocket,
        readable=readable,
        allow=", ".join(allowed),
        asks_for_key=asks_for_key(route, gateway),
        max_body_size=_max_body_size(route, gateway),
        streams_body=route.path == ASSET_UPLOAD,
        writes_address=route.path == ASSETS,
        lost_page=_lost_page(route),
    )


def _max_body_size(route: Route, gateway: Gateway) -> str | None:
    """Return the limit of a route's bodies in nginx's notation; None for that of all routes."""
    if route.path in TOKENIZER_ROUTES:
        return gateway.tokenizer_body_size
    if route.group is Group.AGENT and gateway.max_body_size == "0":
        return AGENT_BODY_SIZE
    return gateway.assets_size if route.path == ASSET_UPLOAD else None


def _lost_page(route: Route) -> Verbatim | None:
    """Return the location in nginx that answers if the middleware does not; None for the engine's routes."""
    if route.path == MODELS:
        return Verbatim("/_error/$models_error")
    if route.target is Target.AGENT:
        return Verbatim("/_error/agent")
    return Verbatim("/_error/middleware") if route.target is Target.MIDDLEWARE else None


def asks_for_key(route: Route, gateway: Gateway) -> bool:
    """Return whether nginx asks for an API key on this route; health routes never do."""
    if gateway.api_keys is None or route.group in ALWAYS_OPEN or route.path == ASSET_UPLOAD:
        return False  # the address of an upload is signed
    return not {route.path, route.group.value} & {*gateway.api_keys.exempt}
