"""Read host facts from /proc, /sys and /dev: memory, CPUs, cgroup limits, shared memory."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from nim.hardware.types import Host

_NO_LIMIT = 1 << 60
"""cgroup v1 writes "no limit" as a number near 2**63, rounded down to a page."""


def read_host(root: Path = Path("/")) -> Host:
    """Return memory, CPUs, cgroup limits and /dev/shm as `Host`, from /proc and /sys; missing ones None."""
    memory = read_meminfo(root)
    shm_bytes, shm_free_bytes = shm_size(root)
    return Host(
        cpu_count=usable_cpus(),
        cpu_quota=cpu_quota(root),
        cpu_arch=os.uname().machine or None,
        host_memory_bytes=memory.get("MemTotal"),
        host_memory_available_bytes=memory.get("MemAvailable"),
        memory_limit_bytes=memory_limit(root),
        shm_bytes=shm_bytes,
        shm_free_bytes=shm_free_bytes,
    )


def usable_cpus() -> int | None:
    """Return the number of CPUs that this process may run on (affinity); None if unknown."""
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity else os.cpu_count()


def read_meminfo(root: Path) -> dict[str, int]:
    """Return /proc/meminfo as a dict from name to bytes; {} if it is unreadable."""
    sizes = {}
    for line in (_read(root / "proc/meminfo") or "").splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            sizes[name] = int(words[0]) * (1024 if words[1:] == ["kB"] else 1)
    return sizes


def shm_size(root: Path) -> tuple[int | None, int | None]:
    """Return total and free bytes of /dev/shm; (None, None) if there is none."""
    try:
        found = os.statvfs(root / "dev/shm")
    except OSError:
        return None, None
    return found.f_frsize * found.f_blocks, found.f_frsize * found.f_bavail


def memory_limit(root: Path) -> int | None:
    """Return the smallest memory limit in bytes of this cgroup and its parents (v1, v2); None without one."""
    limits = [_bytes(folder / "memory.max") for folder in _unified_folders(root)]
    limits += [_bytes(folder / "memory.limit_in_bytes") for folder in _v1_folders(root, "memory")]
    return min((limit for limit in limits if limit is not None), default=None)


def cpu_quota(root: Path) -> float | None:
    """Return the CPU limit of the tightest cgroup as a number of CPUs; None without a limit."""
    quotas = [_ratio((_read(folder / "cpu.max") or "").split()) for folder in _unified_folders(root)]
    for folder in _v1_folders(root, "cpu"):
        words = [_read(folder / name) or "" for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")]
        quotas.append(_ratio([word.strip() for word in words]))
    return min((quota for quota in quotas if quota is not None), default=None)


def _unified_folders(root: Path) -> Iterator[Path]:
    """Yield the directories of this process's cgroup (version 2) and its parents."""
    mount = root / "sys/fs/cgroup"
    hybrid = mount / "unified"
    yield from _with_parents(hybrid if hybrid.is_dir() else mount, _own_cgroup(root, ""))


def _v1_folders(root: Path, controller: str) -> Iterator[Path]:
    """Yield the directories of this process's cgroup (version 1) and its parents for a controller."""
    mount = root / "sys/fs/cgroup"
    names = (controller, "cpu,cpuacct") if controller == "cpu" else (controller,)
    existing = next((mount / name for name in names if (mount / name).is_dir()), None)
    if existing:
        yield from _with_parents(existing, _own_cgroup(root, controller))


def _own_cgroup(root: Path, controller: str) -> str:
    """Return this process's cgroup path for a controller ("": version 2); "/" if not found."""
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller in controllers.split(","):
            return path
    return "/"


def _with_parents(mount: Path, path: str) -> Iterator[Path]:
    """Yield the directories of a cgroup `path` below `mount` and of its parents, up to the mount.

    In a container the mount often is the container's own cgroup while the path is the host's: then
    the deeper folders do not exist, and the mount itself is what counts.
    """
    parts = [part for part in path.split("/") if part]
    if ".." not in parts:
        for depth in range(len(parts), 0, -1):
            yield mount.joinpath(*parts[:depth])
    yield mount


def _bytes(path: Path) -> int | None:
    """Return the number of bytes in a file; None for "max", no limit or an unreadable file."""
    text = (_read(path) or "").strip()
    return int(text) if text.isdigit() and int(text) < _NO_LIMIT else None


def _ratio(words: list[str]) -> float | None:
    """Return quota divided by period, given as two texts; None for "max", -1 or other text."""
    if len(words) != 2 or not all(word.isdigit() for word in words) or int(words[1]) == 0:
        return None
    return int(words[0]) / int(words[1])


def _read(path: Path) -> str | None:
    """Return a file's text; None if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
