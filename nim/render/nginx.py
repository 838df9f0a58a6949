"""Render nginx.conf: a single file, with all paths inside the run directory."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nim import plan
from nim.data_paths import NGINX_TEMPLATES
from nim.errors import SettingsError
from nim.plan import Gateway
from nim.render.jinja import environment
from nim.routes import (
    ALWAYS_OPEN,
    LIVE,
    READY,
    STARTUP,
    Route,
    Target,
    let_through,
    open_instead,
    open_routes,
)

_LOG_LEVELS = {
    "trace": "info",  # below this, nginx logs whole headers, including secrets
    "debug": "info",
    "info": "warn",  # at `notice` nginx logs every signal and process, as supervisord already does
    "warning": "warn",
    "error": "error",
    "critical": "crit",
}
_SEGMENT = "[A-Za-z0-9._:-]+"
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[!-#%-~]+")
_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f$]")


class Verbatim(str):
    """Text that is already nginx syntax: from the route table, never from a setting."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """An engine route in nginx: its path, and where requests are sent."""

    match: Verbatim
    upstream: Verbatim
    websocket: bool
    readable: bool
    allow: str
    asks_for_key: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MiddlewareRoute:
    """A route of the middleware in nginx."""

    path: str
    asks_for_key: bool


def render_nginx(
    gateway: Gateway,
    *,
    run_dir: str,
    engine_address: str,
    log_level: str,
    json_logs: bool,
    open_files: int = 4_096,
) -> str:
    """Return the text of nginx.conf. `engine_address` has the form of `plan.Engine.address`.

    `open_files` is the hard limit on open files, which nginx cannot raise; the default is conservative.
    """
    connections = min(gateway.connections, plan.most_connections(open_files))
    spare = max(connections // 16, 64)
    streams = max((connections - spare) // 2, 1)  # each stream has two connections: client and engine
    routes = open_routes(gateway.route_groups)
    any_origin = "*" in gateway.allowed_origins
    origins = [] if any_origin else _origins(gateway.allowed_origins)
    middleware_routes = [
        MiddlewareRoute(path=route.path, asks_for_key=_asks_for_key(route, gateway))
        for route in routes
        if route.target is Target.MIDDLEWARE
    ]
    template = environment(write).get_template("nginx.conf.j2")
    return template.render(
        gateway=gateway,
        run=_run_paths(run_dir),
        engine_address=engine_address,
        log_level=Verbatim(_LOG_LEVELS[log_level.lower()]),
        json_logs=json_logs,
        open_files=open_files,
        connections=connections,
        streams=streams,
        idle_connections=min(streams, 512),
        reuseport=gateway.worker_processes > 1,
        lua_file=str(NGINX_TEMPLATES / "api_keys.lua"),
        encrypted=Verbatim(" ssl http2" if gateway.tls else ""),
        origins=origins,
        allowed_origin="*" if any_origin else Verbatim("$allowed_origin" if origins else ""),
        routes_hint=_routes_hint(gateway.route_groups),
        open_instead=sorted(open_instead(gateway.route_groups).items()),
        live=LIVE,
        ready=READY,
        quiet=(STARTUP,),
        startup_routes=[route for route in middleware_routes if route.path == STARTUP],
        middleware_routes=middleware_routes,
        engine_routes=_locations(routes, gateway),
    )


def _asks_for_key(route: Route, gateway: Gateway) -> bool:
    """Return whether a request to this route needs an API key; health never does."""
    if gateway.api_keys is None or route.group in ALWAYS_OPEN:
        return False
    return not {route.path, route.group.value} & {*gateway.api_keys.exempt}


def _origins(allowed: Iterable[str]) -> list[str]:
    """Return patterns for the allowed origins; keys of nginx's maps must be short and unique."""
    return [rf"~^{re.escape(origin)}\z" for origin in allowed if _ORIGIN.fullmatch(origin)]


def _routes_hint(groups: Collection[str]) -> Verbatim:
    """Return the text that lists the open routes for a client."""
    document = "/openapi.json"
    return Verbatim(f"GET {document} has them" if let_through(document, groups) else "`nim routes` has them")


def write(value: Any) -> str:
    """Return a value as one nginx word; text is quoted."""
    match value:
        case Verbatim():
            return str(value)
        case bool():
            return "on" if value else "off"
        case int():
            return str(value)
        case str():
            return quote(value)
    raise TypeError(f"nginx has no word for {value!r}")


def quote(text: str) -> str:
    """Return a quoted nginx string. `$` cannot be escaped in nginx, so text with one is refused."""
    if _UNWRITABLE.search(text):
        raise SettingsError(
            f'cannot write {text!r} into nginx.conf: nginx has no way to write "$" and control characters',
            hint="NIM_RUN_DIR with a plainer path",
        )
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _run_paths(run_dir: str) -> dict[str, str]:
    """Return the paths nginx reads and writes in the run directory."""
    names = {
        "pid": "nginx.pid",
        "lock": "nginx.lock",
        "error_log": f"{plan.LOG_DIR}/nginx",
        "access_log": f"{plan.LOG_DIR}/access",
        "client_body_temp": "client_body_temp",
        "proxy_temp": "proxy_temp",
        "fastcgi_temp": "fastcgi_temp",
        "uwsgi_temp": "uwsgi_temp",
        "scgi_temp": "scgi_temp",
        "draining": plan.DRAINING_FILE,
        "stalled": plan.STALLED_FILE,
        "status_socket": plan.STATUS_SOCKET,
        "api_keys": plan.API_KEYS_FILE,
        "middleware_socket": plan.MIDDLEWARE_SOCKET,
    }
    paths = {key: f"{run_dir}/{name}" for key, name in names.items()}
    return paths | {"directory": run_dir, "not_ready": f"/{plan.NOT_READY_FILE}"}


def _locations(routes: Iterable[Route], gateway: Gateway) -> list[Location]:
    """Return one location for each open path of the engine, whatever its methods."""
    by_path: dict[str, list[Route]] = {}
    for route in routes:
        if route.target is Target.ENGINE:
            by_path.setdefault(route.path, []).append(route)
    return [_location(same, gateway) for same in by_path.values()]


def _location(same: Sequence[Route], gateway: Gateway) -> Location:
    """Return the location of one path. The upstream path is the table's, never the client's spelling."""
    route = same[0]
    methods = {method for each in same for method in each.methods}
    readable = "GET" in methods and not route.websocket
    allowed = [*sorted(methods), *(["HEAD"] if readable else []), "OPTIONS"]
    if "{" not in route.path:
        match, upstream = f"= {quote(route.path)}", quote(f"http://engine{route.path}")
    else:
        pattern = re.sub(r"\{(\w+)\}", rf"(?<\1>{_SEGMENT})", route.path)
        path = re.sub(r"\{(\w+)\}", r"${\1}", route.path)
        match, upstream = f'~ "^{pattern}\\z"', f'"http://engine{path}$is_args$args"'
    return Location(
        match=Verbatim(match),
        upstream=Verbatim(upstream),
        websocket=route.websocket,
        readable=readable,
        allow=", ".join(allowed),
        asks_for_key=_asks_for_key(route, gateway),
    )
