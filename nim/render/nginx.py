"""Render nginx.conf, and health.conf for the health port's nginx, with all paths in the run directory."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from nim import plan
from nim.data_paths import NGINX_TEMPLATES
from nim.plan import Gateway, Limits, most_connections
from nim.render.jinja import environment
from nim.render.nginx_backends import (
    HEALTHY,
    Backends,
    backend_values,
    proxy_routes,
    routed_locations,
    router_routes,
)
from nim.render.nginx_cors import cors_values
from nim.render.nginx_locations import closed_router_paths, engine_locations, middleware_routes, ready_paths
from nim.render.nginx_quoting import Verbatim, write
from nim.routes import (
    LIVE,
    READY,
    STARTUP,
    let_through,
    open_instead,
    open_routes,
)
from nim.tasks_of_routes import why_not

_LOG_LEVELS = {
    "trace": "info",  # below this, nginx logs whole headers, including secrets
    "debug": "info",
    "info": "warn",  # at `notice` nginx logs every signal and process, as supervisord already does
    "warning": "warn",
    "error": "error",
    "critical": "crit",
}
# Probes are few. They have a process of their own, because nginx counts connections of all ports together.
HEALTH_CONNECTIONS = 512


def nginx_files(gateway: Gateway, **how: Any) -> dict[str, str]:
    """Return {file name: text} of nginx's configurations; `how` are the arguments of `render_nginx`."""
    files = {plan.NGINX_FILE: render_nginx(gateway, **how)}
    if gateway.health_port:
        files[plan.HEALTH_NGINX_FILE] = render_nginx(_for_health(gateway), **how, health_only=True)
    return files


def _for_health(gateway: Gateway) -> Gateway:
    """Return the Gateway of the nginx of the health port: one small worker, which asks for no key."""
    return replace(
        gateway, worker_processes=1, connections=HEALTH_CONNECTIONS, api_keys=None, limits=Limits()
    )


def render_nginx(
    gateway: Gateway,
    *,
    run_dir: str,
    engine_address: str,
    log_level: str,
    json_logs: bool,
    open_files: int = 4_096,
    health_only: bool = False,
    backends: Backends | None = None,
) -> str:
    """Return the text of nginx.conf, rendered from its template; `engine_address` is an upstream server.

    With `backends` it is a proxy's, and `engine_address` that of its router.

    `open_files` is the hard limit on open files, which nginx cannot raise; the default is conservative.
    `health_only`: the configuration of a second nginx, which has the health port and nothing else.
    """
    connections = min(gateway.connections, most_connections(open_files))
    spare = max(connections // 16, 64)
    streams = max((connections - spare) // 2, 1)  # each stream has two connections: client and engine
    template = environment(write).get_template("nginx.conf.j2")
    return template.render(
        gateway=gateway,
        health_only=health_only,
        run=_run_paths(run_dir, "health" if health_only else "nginx"),
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
        cors=cors_values(gateway),
        who=Verbatim("a backend" if backends else "the engine"),
        backends=backend_values(backends) if backends else None,
        **(_routes_of_proxy(gateway, backends) if backends else _routes(gateway)),
    )


def _routes_of_proxy(gateway: Gateway, backends: Backends) -> dict[str, Any]:
    """Return {name in the template: value} of what follows from the routes of a proxy."""
    by_router = router_routes(gateway)
    known = {route.path for route in proxy_routes(gateway)} | {route.path for route in by_router}
    instead = open_instead(gateway.route_groups)
    return {
        "routes_hint": Verbatim("GET /v1/models has the models"),
        "unanswered": [],  # what a model answers is known to its service
        "open_instead": sorted(
            (path, open_path)
            for path, open_path in instead.items()
            if path not in known and open_path in {*known, LIVE, READY}
        ),
        "live": LIVE,
        "ready": READY,
        "ready_paths": [READY],
        "router_paths": [],
        "quiet": (STARTUP, HEALTHY),
        "startup_routes": [route for route in by_router if route.path == STARTUP],
        "middleware_routes": by_router,
        "engine_routes": routed_locations(gateway, backends),
    }


def _routes(gateway: Gateway) -> dict[str, Any]:
    """Return {name in the template: value} of what follows from the open routes."""
    opened = open_routes(gateway.route_groups)
    unanswered = [(route.path, why) for route in opened if (why := why_not(route.path, gateway.tasks))]
    elsewhere = {*dict(unanswered), *(route.path for route in gateway.agent_routes)}
    routes = [*(route for route in opened if route.path not in elsewhere), *gateway.agent_routes]
    by_middleware = middleware_routes(routes, gateway)
    return {
        "routes_hint": _routes_hint(gateway.route_groups),
        "unanswered": list(dict(unanswered).items()),
        "open_instead": sorted(open_instead(gateway.route_groups).items()),
        "live": LIVE,
        "ready": READY,
        "ready_paths": ready_paths(routes),
        "router_paths": closed_router_paths(routes),
        "quiet": (STARTUP,),
        "startup_routes": [route for route in by_middleware if route.path == STARTUP],
        "middleware_routes": by_middleware,
        "engine_routes": engine_locations(routes, gateway),
    }


def _routes_hint(groups: Collection[str]) -> Verbatim:
    """Return text for a client on where the open routes are listed."""
    document = "/openapi.json"
    return Verbatim(f"GET {document} has them" if let_through(document, groups) else "`nim routes` has them")


def _run_paths(run_dir: str, program: str) -> dict[str, str]:
    """Return {name in the template: path} of what nginx reads and writes in the run directory."""
    names = {
        "pid": f"{program}.pid",
        "lock": f"{program}.lock",
        "error_log": f"{plan.LOG_DIR}/nginx",
        "access_log": f"{plan.LOG_DIR}/access",
        "client_body_temp": "client_body_temp",
        "proxy_temp": "proxy_temp",
        "fastcgi_temp": "fastcgi_temp",
        "uwsgi_temp": "uwsgi_temp",
        "scgi_temp": "scgi_temp",
        "draining": plan.DRAINING_FILE,
        "stalled": plan.STALLED_FILE,
        "serving": plan.SERVING_FILE,
        "status_socket": plan.STATUS_SOCKET,
        "ends": f"{plan.LOG_DIR}/{plan.ENDS_PIPE}",
        "api_keys": plan.API_KEYS_FILE,
        "middleware_socket": plan.MIDDLEWARE_SOCKET,
        "agent_socket": plan.AGENT_SOCKET,
    }
    paths = {key: f"{run_dir}/{name}" for key, name in names.items()}
    return paths | {"directory": run_dir, "not_ready": f"/{plan.NOT_READY_FILE}"}
