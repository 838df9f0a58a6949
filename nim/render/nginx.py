"""Render nginx.conf: a single file, with all paths inside the run directory."""

from collections.abc import Collection

from nim import plan
from nim.data_paths import NGINX_TEMPLATES
from nim.gateway_plan import Gateway, most_connections
from nim.render.jinja import environment
from nim.render.nginx_cors import cors_values
from nim.render.nginx_locations import engine_locations, middleware_routes
from nim.render.nginx_quoting import Verbatim, write
from nim.routes import (
    LIVE,
    READY,
    STARTUP,
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


def render_nginx(
    gateway: Gateway,
    *,
    run_dir: str,
    engine_address: str,
    log_level: str,
    json_logs: bool,
    open_files: int = 4_096,
) -> str:
    """Return the text of nginx.conf, rendered from its template; `engine_address` is an upstream server.

    `open_files` is the hard limit on open files, which nginx cannot raise; the default is conservative.
    """
    connections = min(gateway.connections, most_connections(open_files))
    spare = max(connections // 16, 64)
    streams = max((connections - spare) // 2, 1)  # each stream has two connections: client and engine
    routes = open_routes(gateway.route_groups)
    by_middleware = middleware_routes(routes, gateway)
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
        cors=cors_values(gateway),
        routes_hint=_routes_hint(gateway.route_groups),
        open_instead=sorted(open_instead(gateway.route_groups).items()),
        live=LIVE,
        ready=READY,
        quiet=(STARTUP,),
        startup_routes=[route for route in by_middleware if route.path == STARTUP],
        middleware_routes=by_middleware,
        engine_routes=engine_locations(routes, gateway),
    )


def _routes_hint(groups: Collection[str]) -> Verbatim:
    """Return text for a client on where the open routes are listed."""
    document = "/openapi.json"
    return Verbatim(f"GET {document} has them" if let_through(document, groups) else "`nim routes` has them")


def _run_paths(run_dir: str) -> dict[str, str]:
    """Return {name in the template: path} of what nginx reads and writes in the run directory."""
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
