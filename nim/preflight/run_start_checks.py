"""Run all checks before the start, each failing with one clear error."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path

from nim.errors import PreflightError
from nim.frozen_dataclass import frozen_dataclass
from nim.plan import HEALTH_NGINX_FILE, KV_EVENTS_PORT, NGINX_FILE, PLAN_FILE, Plan
from nim.preflight.proc_net_sockets import Listener, find_listener

# Debian does not put this directory on every user's PATH.
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
# Containers get 64 MiB of shared memory by default. Each vLLM worker process uses 10 chunks of 24 MiB to
# answer; if they do not fit, the start fails after a minute.
SHM = Path("/dev/shm")  # noqa: S108 (only read)  # nosec B108
SHM_BYTES = 256 * 1024 * 1024
WORKER_SHM_BYTES = 241 * 1024 * 1024
NGINX_TEST_SECONDS = 20.0
# The bit in /proc/self/status of the capability to change to any group.
CAP_SETGID = 6
_OUR_NGINX = re.compile(r"nginx: master .* -p (\S+)")


@frozen_dataclass
class Port:
    """A port of the service, and the variable that sets it."""

    number: int
    variable: str
    host: str


def run_start_checks(plan: Plan, environ: Mapping[str, str]) -> str:
    """Check nginx, supervisor, engine, /dev/shm and ports; return nginx's path, or PreflightError."""
    nginx = _find_nginx(environ)
    if find_spec("supervisor") is None:
        raise PreflightError(
            "cannot start: the Python package supervisor is not installed", hint="pip install supervisor"
        )
    _check_engine(plan, environ)
    if plan.gateway.user == "root":
        _check_group()
    check_shared_memory(plan, SHM)
    _check_ports(tuple(ports(plan)))
    return nginx


def check_shared_memory(plan: Plan, shm: Path) -> None:
    """Raise PreflightError if workers need /dev/shm and cannot write in it or less than 241 MiB are free."""
    tags = plan.profile.tags
    workers = [plan.config.get(f"{kind}_parallel_size") for kind in ("tensor", "pipeline")]
    if tags.get("gpu") != "cpu" and all(value is None or value.value == 1 for value in workers):
        return
    remedy = f"`--shm-size=1g`, or in Kubernetes an emptyDir of medium Memory at {shm}"
    with suppress(OSError):
        stats = os.statvfs(shm)
        if not os.access(shm, os.W_OK | os.X_OK):
            raise PreflightError(
                f"cannot start the engine: user {os.geteuid()}:{os.getegid()} cannot write in {shm}, "
                "where its workers talk to each other",
                hint=remedy,
            )
        if (free := stats.f_frsize * stats.f_bavail) < WORKER_SHM_BYTES:
            raise PreflightError(
                f"cannot start the engine: {shm} has {free // 2**20} MiB free, and its workers need "
                f"{WORKER_SHM_BYTES // 2**20} to talk to each other",
                hint=remedy,
            )


def warnings(shm: Path = SHM) -> Iterator[str]:
    """Yield a warning as text if /dev/shm is smaller than 256 MiB; nothing otherwise."""
    with suppress(OSError):
        stats = os.statvfs(shm)
        if (size := stats.f_frsize * stats.f_blocks) < SHM_BYTES:
            yield (
                f"{shm} has only {size // 2**20} MiB, which several GPUs need more of; "
                "give the container more (--shm-size=16g, or an emptyDir of medium Memory)"
            )


def check_nginx(nginx: str, run_dir: Path) -> None:
    """Run `nginx -t` on the rendered files; PreflightError with nginx's message if it fails."""
    for name in (NGINX_FILE, HEALTH_NGINX_FILE):
        if (run_dir / name).exists():
            test_configuration(nginx, run_dir, name)


def test_configuration(nginx: str, run_dir: Path, name: str) -> None:
    """Run `nginx -t` on one file; PreflightError with nginx's message if it fails."""
    command = (nginx, "-t", "-q", "-p", str(run_dir), "-c", str(run_dir / name))
    try:
        test = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=NGINX_TEST_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PreflightError(f"cannot test nginx's configuration: {error}", hint=" ".join(command)) from error
    if test.returncode != 0:
        words = "\n  ".join(line for line in test.stderr.splitlines() if line)
        raise PreflightError(f"cannot start nginx:\n  {words}", hint=" ".join(command))


def _find_nginx(environ: Mapping[str, str]) -> str:
    """Return the path of nginx; PreflightError if it is not installed."""
    path = shutil.which("nginx", path=f"{environ.get('PATH', os.defpath)}:{SBIN}")
    if path is None:
        raise PreflightError(
            "cannot start the gateway: nginx is not installed", hint="apt-get install nginx-light"
        )
    return path


def _check_engine(plan: Plan, environ: Mapping[str, str]) -> None:
    """Raise PreflightError if the engine's program is not found on the engine's PATH."""
    program = plan.engine.argv[0]
    path = plan.engine.env.get("PATH") or environ.get("PATH", os.defpath)
    if shutil.which(program, path=path) is None:
        raise PreflightError(
            f'cannot start the engine: there is no program "{program}"',
            hint="NIM_ENGINE_COMMAND=… another program, or `make setup` for vLLM",
        )


def _check_group() -> None:
    """Raise PreflightError if root's nginx could not change to group 0 (SETGID was dropped)."""
    groups = os.getresgid()
    if 0 in groups or _capabilities() >> CAP_SETGID & 1:
        return
    raise PreflightError(
        f"cannot start the gateway as user 0 with group {groups[0]}: nginx changes to group 0 then, "
        "and the capability SETGID was dropped",
        hint=f"`--user 0:0`, or a user that is not root: `--user 1000:{groups[0]}`",
    )


def _capabilities() -> int:
    """Return this process's effective capabilities as a bit mask, read from /proc; 0 if not listed."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(r"^CapEff:\s*(\w+)$", status, re.MULTILINE)
    return int(found[1], 16) if found else 0


def ports(plan: Plan) -> Iterator[Port]:
    """Yield each TCP port of the service as Port: the gateway's, and those of health and engine if set."""
    gateway = plan.gateway
    yield Port(number=gateway.server_port, variable="NIM_SERVER_PORT", host="0.0.0.0")  # noqa: S104 (as nginx does)  # nosec B104
    if gateway.health_port is not None:
        yield Port(number=gateway.health_port, variable="NIM_HEALTH_PORT", host="0.0.0.0")  # noqa: S104  # nosec B104
    if plan.engine.port is not None:
        yield Port(number=plan.engine.port, variable="NIM_BACKEND_PORT", host="127.0.0.1")
    if number := _kv_events_port(plan):
        yield Port(number=number, variable=KV_EVENTS_PORT, host="0.0.0.0")  # noqa: S104  # nosec B104


def _kv_events_port(plan: Plan) -> int | None:
    """Return the port on which the engine publishes events of its KV cache; None if it is none of TCP."""
    events = plan.config["kv_events_config"].value if "kv_events_config" in plan.config else None
    endpoint = str(events.get("endpoint")) if isinstance(events, Mapping) else ""
    found = re.fullmatch(r"tcp://\*:(\d+)", endpoint)
    return int(found[1]) if found else None


def _check_ports(ports: tuple[Port, ...]) -> None:
    """Bind all ports for a moment, at the same time; PreflightError for one in use or given twice."""
    seen: dict[int, Port] = {}
    with ExitStack() as taken:
        for port in ports:
            if port.number in seen:
                first = seen[port.number].variable
                raise PreflightError(
                    f"cannot use port {port.number} twice: for {first} and for {port.variable}",
                    hint=f"{port.variable}={port.number + 1}",
                )
            seen[port.number] = port
            taken.enter_context(_take(port))


def _take(port: Port) -> socket.socket:
    """Return a listening socket on a port; PreflightError if the port is in use or not permitted."""
    link = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        link.bind((port.host, port.number))
        link.listen()
    except PermissionError as error:
        link.close()
        raise PreflightError(
            f"cannot listen on port {port.number} ({port.variable}): this user may not",
            allowed=("1024 to 65535",),
            hint=f"{port.variable}=8000",
        ) from error
    except OSError as error:
        link.close()
        holder = find_listener(port.number)
        who = f"process {holder.pid} ({holder.command[:80]}) listens there" if holder else error.strerror
        raise PreflightError(
            f"cannot listen on port {port.number} ({port.variable}): {who}",
            hint=f"{port.variable}=… another port" + (f", or {_end(holder)}" if holder else ""),
        ) from error
    return link


def _end(holder: Listener) -> str:
    """Return the command that ends the process on a port: `nim drain` for a service of ours, else `kill`."""
    ours = _OUR_NGINX.match(holder.command)
    if ours and Path(ours[1], PLAN_FILE).exists():
        return f"NIM_RUN_DIR={ours[1]} nim drain"
    return f"kill {holder.pid}"
