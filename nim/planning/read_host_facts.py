"""Read facts of the host: user, writable directories, open-file limit, network."""

import os
import pwd
import resource
import shutil
from collections.abc import Mapping
from pathlib import Path

from nim import data_paths
from nim.options.derived_options import HostFacts
from nim.planning.default_cache_directory import default_cache
from nim.settings import Settings

IMAGE_ROOT = Path("/opt/nim")
# Of the distributions, and of nginx.org.
MODULE_DIRECTORIES = (Path("/usr/lib/nginx/modules"), Path("/usr/lib64/nginx/modules"))
MOST_OPEN_FILES = 1_048_576
RUNTIME_CACHE = "vllm"
_AS_ROOT = (
    "running as root: the engine, its plugins and code that comes with a model may then do anything here; "
    "any other user will do, such as docker run --user 1000:0, or runAsUser in Kubernetes"
)


def read_host_facts(settings: Settings, environ: Mapping[str, str]) -> HostFacts:
    """Return the HostFacts of this machine: user, directories, limits. Reads /proc; creates nothing."""
    uid = os.geteuid()
    home = IMAGE_ROOT if data_paths.ROOT == IMAGE_ROOT else Path(environ.get("HOME") or "/tmp")  # noqa: S108  # nosec B108
    cache, warning = _cache(settings, home)
    ipv6 = Path("/proc/net/if_inet6")
    return HostFacts(
        run_dir=run_directory(settings),
        cache_dir=str(Path(cache).absolute()),
        runtime_cache_dir=str(Path(settings.runtime_cache_path or f"{cache}/{RUNTIME_CACHE}").absolute()),
        offline=settings.disable_model_download,
        user="root" if uid == 0 else None,
        has_ipv6=ipv6.exists() and bool(ipv6.read_text()),
        worker_processes=min(os.cpu_count() or 1, 2),
        open_files=_open_files(),
        has_home=_has_home(environ.get("HOME", "")),
        has_name=_has_name(uid),
        warnings=tuple(filter(None, (_AS_ROOT if uid == 0 else None, warning))),
        can_compile=any(map(shutil.which, ("c++", "g++", "clang++"))),
        nginx_modules=find_lua_modules(),
    )


def find_lua_modules() -> tuple[str, ...]:
    """Return the paths of nginx's Lua module and the one it needs; () if not installed."""
    for directory in MODULE_DIRECTORIES:
        paths = [directory / name for name in ("ndk_http_module.so", "ngx_http_lua_module.so")]
        if all(path.exists() for path in paths):
            return tuple(map(str, paths))
    return ()


def run_directory(settings: Settings) -> str:
    """Return the run directory's absolute path: NIM_RUN_DIR, else in /tmp. Creates nothing."""
    own = f"/tmp/nim-{os.geteuid()}-{settings.server_port}"  # noqa: S108 (made private there)  # nosec B108
    return str(Path(settings.run_dir or own).absolute())


def _cache(settings: Settings, home: Path) -> tuple[str, str | None]:
    """Return (cache directory, warning or None): the configured one, else a default below `home`."""
    if settings.cache_path:
        return settings.cache_path, None
    if home == IMAGE_ROOT:
        return str(home / ".cache"), None
    cache, warning = default_cache(home, RUNTIME_CACHE)
    return str(cache), warning


def _has_home(home: str) -> bool:
    """Return True if the user has a writable home: not the image's shared one, and not `/`."""
    own = home not in ("", "/", str(IMAGE_ROOT))
    return own and (not Path(home).exists() or os.access(home, os.W_OK | os.X_OK))


def _has_name(uid: int) -> bool:
    """Return True if the user id has an entry in /etc/passwd."""
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _open_files() -> int:
    """Return the hard limit on open files of this process, at most 1048576."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_OPEN_FILES)
