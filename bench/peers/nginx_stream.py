"""nginx as a TCP forwarder, the lower bound of cost."""

from functools import partial
from pathlib import Path

from bench.peers.peer import Command, Peer, Site
from bench.peers.place import Packages

FILE = "ngx_stream_module.so"
MODULE = Packages(name="nginx-stream", apt=("libnginx-mod-stream",))
SYSTEM = Path("/usr/lib/nginx/modules") / FILE
CONF = """
load_module {module};
daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 19000; }}
stream {{
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        tcp_nodelay on;
        proxy_timeout 4h;
        proxy_pass {address};
    }}
}}
"""


def _module() -> Path:
    return MODULE.path(f"usr/lib/nginx/modules/{FILE}") if MODULE.done.exists() else SYSTEM


def _missing() -> str | None:
    return None if SYSTEM.exists() else MODULE.missing()


def _command(site: Site, *, unix: bool) -> Command:
    address = f"unix:{site.upstream_socket}" if unix else f"127.0.0.1:{site.upstream_port}"
    conf = CONF.format(module=_module(), directory=site.directory, port=site.port, address=address)
    path = site.write("nginx.conf", conf)
    return Command(argv=["nginx", "-p", str(site.directory), "-c", path, "-e", "stderr"])


STREAM = Peer(
    name="forwarder",
    title="nginx stream (forwarder), TCP",
    command=partial(_command, unix=False),
    missing=_missing,
    floor=True,
)
STREAM_UNIX = Peer(
    name="forwarder-unix",
    title="nginx stream (forwarder), unix socket",
    command=partial(_command, unix=True),
    missing=_missing,
    transport="unix",
    floor=True,
)
