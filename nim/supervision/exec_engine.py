"""Replace this process by the engine: `python -I -m nim.supervision.exec_engine RUN_DIR`.

The argument list is read from the run directory and given to exec unchanged; no shell is involved.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from nim.plan import ARGS_FILE, ENGINE_PARTS_DIR, LOG_DIR, PLAN_FILE, Plan
from nim.preflight.fill_engine_cache import fill_engine_cache
from nim.preflight.run_directory import SOCKET_PATH_BYTES, remove_directory
from nim.supervision.fetch_for_engine import fetch_adapters_for_engine, fetch_for_engine
from nim.supervision.supervisord.start_supervisord import die_with_parent

UMASK = "NIM_UMASK"
UUID_BYTES = 36


def main(run_dir: Path, environ: Mapping[str, str]) -> NoReturn:
    """Replace this process by the engine, its command read from the run directory; exit if that fails."""
    # Downloads may be shared with other users; the run directory is private by its own mode.
    os.umask(int(environ.get(UMASK, "077"), 8))
    _begin_session()
    # Not SIGTERM: on SIGTERM vLLM marks the answers it breaks off as complete, and nginx would pass that on.
    die_with_parent(signal.SIGKILL)
    _log_into(run_dir / LOG_DIR / "engine")
    plan = Plan.from_json((run_dir / PLAN_FILE).read_text(encoding="utf-8"))
    lines = (run_dir / ARGS_FILE).read_text(encoding="utf-8").split("\n")
    argv = [json.loads(line) for line in lines if line]
    if plan.engine.socket:  # left behind by the previous engine; binding would fail
        Path(plan.engine.socket).unlink(missing_ok=True)
    kept = {name: value for name, value in environ.items() if name not in (*plan.engine.unset, UMASK)}
    env = _parts_directory(run_dir / ENGINE_PARTS_DIR) | kept | dict(plan.engine.env)
    if plan.download and plan.download.remote:
        fetch_for_engine(plan.download.remote, env)
    if plan.adapters and plan.adapters.remote:
        fetch_adapters_for_engine(plan.adapters.remote, env)
    fill_engine_cache(plan.engine.version, env)
    program = shutil.which(argv[0], path=env.get("PATH")) or argv[0]
    try:
        os.execve(program, argv, env)  # noqa: S606
    except OSError as error:
        sys.exit(f'cannot start the engine "{program}": {error.strerror}')


def _begin_session() -> None:
    """Move this process into a session of its own; it stays where it is if the kernel refuses.

    Linux divides processor time among sessions first (sched_autogroup_enabled). In the session of nginx and
    the middleware, the busy threads of a CPU engine would delay their answers and health probes.
    """
    with suppress(OSError):
        os.setpgid(0, os.getpgid(os.getppid()))  # supervisord made it a group's leader, which cannot do this
        os.setsid()


def _parts_directory(directory: Path) -> dict[str, str]:
    """Recreate a directory for sockets of vLLM; return {variable: path}, or {} if the path is too long.

    A path that is too long for them leaves them in the temporary directory, where vLLM would have them.
    """
    remove_directory(directory)
    if len(os.fsencode(directory)) + len("/") + UUID_BYTES > SOCKET_PATH_BYTES:
        return {}
    directory.mkdir(mode=0o700, exist_ok=True)
    return {"VLLM_RPC_BASE_PATH": str(directory)}


def _log_into(pipe: Path) -> None:
    """Redirect stdout and stderr to the named pipe at `pipe`; change nothing if nobody reads from it."""
    with suppress(OSError):
        fd = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.set_blocking(fd, True)
        os.dup2(fd, 1)
        os.dup2(fd, 2)


if __name__ == "__main__":
    main(Path(sys.argv[1]), os.environ)
