"""Start a plan: run all checks, write the run directory, test it, exec PID 1."""

import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import NoReturn

from nim.errors import PreflightError
from nim.event_loop import HANDLED_SIGNALS
from nim.health.write_status_files import first_state, write_file
from nim.log_format import Form
from nim.logging.log_pipes import existing_pipes, make_pipes, open_pipe, remove_pipes
from nim.plan import (
    ADAPTERS_DIR,
    AGENT_JOBS_DIR,
    API_KEYS_FILE,
    ASSETS_DIR,
    ENDS_PIPE,
    NOT_READY_FILE,
    PLAN_FILE,
    STATE_FILE,
    SUPERVISOR_SOCKET,
    Plan,
)
from nim.preflight import run_directory
from nim.preflight import run_start_checks as checks
from nim.preflight.check_directories import check_directories
from nim.preflight.claim_ports import claim_ports, release
from nim.supervision.shutdown_budget import ShutdownBudget
from nim.supervision.supervisord.rpc_client import Supervisor, SupervisorError
from nim.supervision.supervisord.start_supervisord import Supervisord, adopt_orphans

# Supervisord creates its socket 4 ms after it has been imported.
GATEWAY_START_SECONDS = 0.5
# How long a stream may go on after a reload of nginx.
RELOAD_MS = 24 * 3600 * 1000
# What the gateway and the management routes may need of the environment.
NEEDED = frozenset(
    {"PATH", "HOME", "TMPDIR", "LANG", "LANGUAGE", "TZ", "TZDIR"}
    | {"LD_LIBRARY_PATH", "LD_PRELOAD", "OPENSSL_CONF"}
)
INIT: tuple[str, ...] = ("-I", "-m", "nim.supervision.pid1_main")


def launch(plan: Plan, environ: Mapping[str, str], supervisord: Supervisord) -> NoReturn:
    """Check the plan, write the run directory, start nginx and exec PID 1; PreflightError if refused."""
    check_directories(plan, environ)  # with the user's own umask: a cache may be shared
    umask = os.umask(0o077)
    run_dir = Path(plan.run_dir)
    # Blocked until PID 1 handles them, so that no signal leaves a half-started service.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED_SIGNALS)
    try:
        lock = run_directory.take(run_dir)
    except BaseException:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        raise
    claims: tuple[int, ...] = ()
    try:
        nginx = checks.run_start_checks(plan, environ)
        _check_tls(plan)
        claims = claim_ports(checks.ports(plan))  # held until PID 1 ends
        _make_directories(plan, run_dir)
        _write(plan, run_dir, _api_key_files(plan, environ))
        _check_nginx(nginx, run_dir)
    except BaseException:
        with suppress(OSError):
            remove_pipes(run_dir)
            (run_dir / PLAN_FILE).unlink(missing_ok=True)
        release(claims)
        run_directory.release(run_dir, lock)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        raise
    _warn(plan)
    environ = {**environ, **_for_supervisord(plan, nginx, umask, environ)}
    adopt_orphans()
    # The last words of a supervisord that ends at once would go with the pipe's last reader.
    os.set_inheritable(open_pipe(run_dir, "supervisord"), True)
    own = {"NIM_LOCK_FD": str(lock), "NIM_SUPERVISOR_PID": str(supervisord.begin(run_dir, environ))}
    _start_gateway(plan, run_dir)
    os.set_inheritable(lock, True)
    os.execve(sys.executable, (sys.executable, *INIT, str(run_dir)), {**environ, **own})  # noqa: S606


def _make_directories(plan: Plan, run_dir: Path) -> None:
    """Remove what a killed service has left, and make the directory of assets, which vLLM looks for."""
    for left in (ADAPTERS_DIR, ASSETS_DIR, AGENT_JOBS_DIR):
        run_directory.remove_tree(run_dir / left)
    if plan.gateway.assets_size:
        (run_dir / ASSETS_DIR).mkdir(mode=0o700, exist_ok=True)


def _for_supervisord(plan: Plan, nginx: str, umask: int, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables, as a dict, that supervisord.conf reads."""
    return {
        "NIM_RUN_DIR": plan.run_dir,
        "NIM_PYTHON": sys.executable,
        "NIM_NGINX": nginx,
        "NIM_CLEAN": clean_environment(environ),
        "NIM_UMASK": f"{umask:03o}",
        "NIM_DRAIN_MS": f"{_drain_ms(plan)}",
        # Used only if PID 1 has been killed and supervisord stops the programs by itself.
        "NIM_STOP_SECONDS": str(ceil(plan.shutdown_timeout_seconds) + 1),
    }


def _api_key_files(plan: Plan, environ: Mapping[str, str]) -> list[tuple[str, str, int]]:
    """Return [(name, text, mode)] of the file of API key digests for nginx; [] without API keys."""
    if not plan.gateway.api_keys:
        return []
    from nim.preflight.read_api_keys_file import digests_for_nginx

    return [(API_KEYS_FILE, digests_for_nginx(plan.gateway.api_keys, environ), 0o600)]


def _check_tls(plan: Plan) -> None:
    """Raise PreflightError for unusable certificate files; do nothing without TLS."""
    if plan.gateway.tls:
        from nim.preflight.check_certificates import check_certificates  # OpenSSL is loaded only with TLS

        check_certificates(plan.gateway.tls)


def clean_environment(environ: Mapping[str, str]) -> str:
    """Return the text `env -i NAME=value …`, shell-quoted, that starts a program without secrets."""
    needed = (name for name in environ if name in NEEDED or name.startswith("LC_"))
    words = [f"{name}={environ[name]}" for name in needed]
    return shlex.join([shutil.which("env") or "/usr/bin/env", "-i", *words])


def _drain_ms(plan: Plan) -> int:
    """Return the milliseconds that nginx's old workers have for their streams, at least 1: 0 means no limit.

    This applies to a shutdown and to a reload. With files that are reread, streams outlive many reloads; at a
    shutdown the controller then has them end by killing the engine.
    """
    if plan.gateway.rereads_files or plan.proxy:
        return RELOAD_MS
    return max(round(ShutdownBudget.of(plan.shutdown_timeout_seconds, serving=True).cut * 1000), 1)


def _start_gateway(plan: Plan, run_dir: Path) -> None:
    """Ask supervisord to start nginx, after at most 0.5 s for its socket; failures are ignored."""
    deadline = time.monotonic() + GATEWAY_START_SECONDS
    while not (run_dir / SUPERVISOR_SOCKET).exists() and time.monotonic() < deadline:
        time.sleep(0.001)
    with suppress(SupervisorError, KeyError, ValueError):
        supervisor = Supervisor(str(run_dir), catch_up=lambda: None)
        supervisor.start("nginx")
        if plan.gateway.health_port:
            supervisor.start("health")


def _write(plan: Plan, run_dir: Path, more: list[tuple[str, str, int]]) -> None:
    """Create the log pipes and write all files of the run directory; PreflightError if that fails."""
    state = first_state(time.time())
    files = [*more, *((file.path, file.text, file.mode) for file in plan.files)]
    files += [(PLAN_FILE, plan.to_json(), 0o600), (STATE_FILE, state.to_json(), 0o600)]
    files += [(NOT_READY_FILE, state.health(), 0o600)]
    try:
        make_pipes(run_dir, more=(ENDS_PIPE,) if plan.proxy else ())
        for name, text, mode in files:
            (run_dir / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_file(run_dir / name, text, mode)
    except OSError as error:
        raise PreflightError(
            f'cannot write "{error.filename or run_dir}": {error.strerror}',
            hint=f"df -h '{run_dir}', or NIM_RUN_DIR=… on a disk with free space",
        ) from error


def _check_nginx(nginx: str, run_dir: Path) -> None:
    """Run `nginx -t` while holding the log pipes open, else it would block; PreflightError if it fails."""
    held = [open_pipe(run_dir, name) for name in existing_pipes(run_dir)]
    try:
        checks.check_nginx(nginx, run_dir)
    finally:
        for fd in held:
            os.close(fd)


def _warn(plan: Plan) -> None:
    """Write warnings about a small /dev/shm to stderr, if the log level admits warnings."""
    form = Form(as_json=plan.json_logs, level=plan.log_level)
    for warning in checks.warnings():
        if form.wants("WARNING"):
            sys.stderr.write(form.line("WARNING", "nim", warning, at=time.time()))
    sys.stderr.flush()
