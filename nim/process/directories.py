"""Whether the directories that a service writes in can be written, said before anything starts."""

import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nim.errors import PreflightError
from nim.plan import Plan


def check_directories(plan: Plan) -> None:
    """Make them and write in each. PreflightError names the first where that fails, and the remedy."""
    for path, variable in _written(plan):
        check_directory(path, variable)


def check_directory(path: Path, variable: str) -> None:
    """The same with one of them. `variable` names it to people."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path, prefix=".nim-"):
            pass
    except OSError as error:
        raise _refusal(path, variable, error) from error


def _written(plan: Plan) -> Iterator[tuple[Path, str]]:
    """Who fetches nothing may have the downloads read-only; compiled kernels are always kept."""
    env = plan.engine.env
    if env.get("HF_HUB_OFFLINE") != "1":
        yield Path(plan.cache_dir), "NIM_CACHE_PATH"
    if "VLLM_CACHE_ROOT" in env:
        yield Path(env["VLLM_CACHE_ROOT"]), "NIM_RUNTIME_CACHE_PATH"
    if "HOME" in env:
        yield Path(env["HOME"]), "NIM_RUNTIME_CACHE_PATH"


def _refusal(path: Path, variable: str, error: OSError) -> PreflightError:
    there = next(one for one in (path, *path.parents) if one.exists())
    found = there.stat()
    user = f"{os.geteuid()}:{os.getegid()}"
    message = f'cannot write in the cache directory "{path}" ({variable}): {error.strerror}'
    if error.errno in (errno.EACCES, errno.EPERM):
        message += (
            f'; "{there}" belongs to {found.st_uid}:{found.st_gid} (mode {found.st_mode & 0o7777:o}), '
            f"and this is user {user}"
        )
        hint = f"chown -R {user} '{there}' (in Kubernetes fsGroup: {os.getegid()}), or {variable}=… elsewhere"
    elif error.errno == errno.EROFS:
        hint = f"mount something writable there (--volume nim-cache:'{path}'), or {variable}=… elsewhere"
    else:
        hint = f"df -h '{there}', or {variable}=… elsewhere"
    return PreflightError(message, hint=hint)
