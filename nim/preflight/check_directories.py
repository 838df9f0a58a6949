"""Check that the directories the service writes to are writable, before anything starts."""

import errno
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from nim.errors import PreflightError
from nim.frozen_dataclass import frozen_dataclass
from nim.plan import Plan
from nim.preflight.check_mounts import Place, run_path_steps

TEMPORARY = "/tmp"  # noqa: S108 (where every program looks by itself)  # nosec B108


@frozen_dataclass
class Directory(Place):
    """A directory to write to: its purpose, the mount it needs, and whether it must belong to this user."""

    purpose: str
    mount: str
    own: bool = True


def check_directories(plan: Plan, environ: Mapping[str, str]) -> None:
    """Create the directories that the service writes to, try each; PreflightError for a failure."""
    run_path_steps(_tried(_written(plan, environ)), plan.cache_probe_seconds)


def check_directory(path: Path, variable: str, seconds: float = 0) -> None:
    """Create a directory and a temporary file in it, within `seconds`; PreflightError if that fails."""
    run_path_steps(_tried([_cache(str(path), variable)]), seconds)


def _tried(directories: Iterable[Directory]) -> Iterator[Directory]:
    """Yield each directory, then create it and a temporary file in it; PreflightError if that fails."""
    for directory in directories:
        yield directory
        try:
            directory.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=directory.path, prefix=".nim-"):
                pass
        except OSError as error:
            raise _refusal(directory, error) from error


def _written(plan: Plan, environ: Mapping[str, str]) -> Iterator[Directory]:
    """Yield each Directory that a start of this plan writes to: for temporary files, caches, home."""
    env = plan.engine.env
    temporary = env.get("TMPDIR") or environ.get("TMPDIR") or TEMPORARY
    yield _temporary(temporary)
    if env.get("HF_HUB_OFFLINE") != "1" and not plan.proxy:
        yield _cache(plan.cache_dir, "NIM_CACHE_PATH")
    if "VLLM_CACHE_ROOT" in env:
        yield _cache(env["VLLM_CACHE_ROOT"], "NIM_RUNTIME_CACHE_PATH")
    if "HOME" in env:
        yield _cache(env["HOME"], "NIM_RUNTIME_CACHE_PATH")


def _cache(path: str, variable: str) -> Directory:
    """Return a Directory that describes a cache and its mount option. Nothing is accessed."""
    mount = f"--volume nim-cache:'{path}'"
    return Directory(path=Path(path), variable=variable, purpose="cache directory", mount=mount)


def _temporary(path: str) -> Directory:
    """Return a Directory that describes the place of temporary files. Nothing is accessed."""
    mount = f"--tmpfs {path}, in Kubernetes an emptyDir"
    purpose = "directory for temporary files"
    return Directory(path=Path(path), variable="TMPDIR", purpose=purpose, mount=mount, own=False)


def _refusal(directory: Directory, error: OSError) -> PreflightError:
    """Return the PreflightError for a directory that cannot be written, with its remedy."""
    path, variable = directory.path, directory.variable
    there = next(one for one in (path, *path.parents) if one.exists())
    found = there.stat()
    user = f"{os.geteuid()}:{os.getegid()}"
    message = f'cannot write in the {directory.purpose} "{path}" ({variable}): {error.strerror}'
    denied = error.errno in (errno.EACCES, errno.EPERM)
    if denied:
        message += (
            f'; "{there}" belongs to {found.st_uid}:{found.st_gid} (mode {found.st_mode & 0o7777:o}), '
            f"and this is user {user}"
        )
    if denied and directory.own:
        hint = f"chown -R {user} '{there}' (in Kubernetes fsGroup: {os.getegid()}), or {variable}=… elsewhere"
    elif denied or error.errno == errno.EROFS:
        hint = f"mount something writable there ({directory.mount}), or {variable}=… elsewhere"
    else:
        hint = f"df -h '{there}', or {variable}=… elsewhere"
    return PreflightError(message, hint=hint)
