"""The project's own gateway as shipped: the launcher's nginx.conf, with the access log into a pipe."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

from bench.peers.peer import Command, Peer, Site
from nim.plan import ENGINE_SOCKET

ROOT = Path(__file__).resolve().parents[2]
LIVE = "/v1/health/live"


def nginx_conf(site: Site, *, tcp: bool, settings: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the text that the launcher would write for this machine, with one worker instead of several."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("NIM_")}
    env |= {
        "NIM_RUN_DIR": str(site.directory),
        "NIM_SERVER_PORT": str(site.port),
        "NIM_ENGINE_COMMAND": "true",
        **settings,
    }
    if tcp:
        env["NIM_BACKEND_PORT"] = str(site.upstream_port)
    command = [str(ROOT / "entrypoint.sh"), "plan", "--json"]
    plan = json.loads(subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout)
    text: str = plan["files"]["nginx.conf"]
    text, found = re.subn(r"^worker_processes \d+;", "worker_processes 1;", text, flags=re.MULTILINE)
    assert found == 1, "nginx.conf has no line worker_processes"
    return text


def command(
    site: Site,
    *,
    tcp: bool = False,
    change: Callable[[str], str] = str,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> Command:
    """Return the gateway's command. `settings` are more variables; `change` may alter its configuration."""
    (site.directory / "log").mkdir()
    for name in ("nginx", "access"):
        os.mkfifo(site.directory / "log" / name)
    if not tcp:
        (site.directory / ENGINE_SOCKET).symlink_to(site.upstream_socket)
    conf = site.write("nginx.conf", change(nginx_conf(site, tcp=tcp, settings=settings)))
    log = site.directory / "log"
    argv = ["nginx", "-p", str(site.directory), "-c", conf, "-e", f"{log}/nginx"]
    # Both pipes are held open for both, as PID 1 does, so that neither ever has no reader.
    reader = f"exec 3<>{log}/nginx 4<>{log}/access; cat <&3 >&2 & exec cat <&4 >/dev/null"
    return Command(argv=argv, aside=("sh", "-c", reader))


def _missing() -> str | None:
    return None if shutil.which("nginx") else "not installed: make setup"


def _service(site: Site) -> Command:
    """Return the whole service, with something in the engine's place that only leads to the upstream."""
    engine = f"sh -c 'ln -s {site.upstream_socket} {site.directory}/run/{ENGINE_SOCKET}; exec sleep 36000'"
    env = {
        "NIM_RUN_DIR": str(site.directory / "run"),
        "NIM_SERVER_PORT": str(site.port),
        "NIM_ENGINE_COMMAND": engine,
    }
    return Command(argv=[str(ROOT / "entrypoint.sh")], env=env, chatty=True)


GATEWAY = Peer(
    name="gateway",
    title="this gateway, unix socket",
    command=command,
    missing=_missing,
    transport="unix",
    live=LIVE,
)
GATEWAY_TCP = Peer(
    name="gateway-tcp",
    title="this gateway, TCP",
    command=partial(command, tcp=True),
    missing=_missing,
    live=LIVE,
)
SERVICE = Peer(
    name="service",
    title="the whole service: this gateway, PID 1 reading its log, the rest",
    command=_service,
    missing=_missing,
    transport="unix",
    live=LIVE,
)
