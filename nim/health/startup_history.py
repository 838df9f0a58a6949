"""Read and write the durations of earlier starts in the cache directory, for the next ETA."""

import errno
import fcntl
import json
import os
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nim.frozen_dataclass import frozen_dataclass
from nim.log_format import severity
from nim.plan import Plan
from nim.read_regular_file import read_bytes
from nim.service_state import Phase

FILE = "startup-times.v1.json"
LOCK = ".startup-times.lock"
# Starts per key, and keys; the file stays below 100 kB.
KEPT_RUNS, KEPT_KINDS = 5, 64
MOST_BYTES = 1024 * 1024
LONGEST_SECONDS = 7 * 24 * 3600.0
LOCK_SECONDS = 10.0

# What reading a damaged file raises; OverflowError: a number of 400 digits.
_DAMAGE = (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError)

# Options and variables that do not affect the duration of a start.
_IRRELEVANT = {
    "allow_credentials",
    "allowed_headers",
    "allowed_methods",
    "allowed_origins",
    "api_key",
    "hf_token",
    "host",
    "port",
    "served_model_name",
    "uds",
    "CUDA_VISIBLE_DEVICES",
    "HF_HOME",
    "HF_HUB_OFFLINE",
    "VLLM_CACHE_ROOT",
    "VLLM_LOGGING_LEVEL",
}


@frozen_dataclass
class Run:
    """One start that became ready. `warm`: the engine's compile cache was not empty when it began.

    `download_seconds`: the part of the fetch phase in which bytes arrived. `at`: Unix seconds.
    """

    at: float
    seconds: Mapping[Phase, float]
    download_seconds: float
    warm: bool


@frozen_dataclass
class StartupHistory:
    """What the history file contains, or why it could not be read."""

    runs: tuple[Run, ...] = ()
    problem: str | None = None


def key_of(plan: Plan) -> str:
    """Return the text that comparable starts share: model, profile, machine, engine, CRC of its options."""
    options = {name: value.value for name, value in plan.config.items() if name not in _IRRELEVANT}
    options_crc = zlib.crc32(json.dumps(options, sort_keys=True, default=str).encode())
    engine = f"{plan.engine.name} {plan.engine.version}"
    parts = (
        plan.model.name,
        plan.model.source,
        plan.profile.id[:12],
        plan.machine,
        engine,
        f"{options_crc:08x}",
    )
    return " | ".join(parts if _shows_phases(plan) else (*parts, "few phases"))


def _shows_phases(plan: Plan) -> bool:
    """Return whether vLLM logs at INFO, the level of most lines that show a phase."""
    level = plan.engine.env.get("VLLM_LOGGING_LEVEL") or plan.log_level
    return severity(level.upper()) <= severity("INFO")


def recall(cache_dir: Path, key: str) -> StartupHistory:
    """Return a StartupHistory of earlier starts with this key, read from disk; `problem` if that failed."""
    try:
        return StartupHistory(runs=_read(cache_dir / FILE).get(key, ()))
    except FileNotFoundError:
        return StartupHistory()
    except OSError as error:
        return StartupHistory(problem=f'cannot read "{cache_dir / FILE}": {error.strerror}')
    except _DAMAGE as error:
        why = f"{type(error).__name__}: {error}"[:200]
        return StartupHistory(
            problem=f'cannot use "{cache_dir / FILE}", which is damaged: it starts anew ({why})'
        )


def remember(cache_dir: Path, key: str, run: Run) -> str | None:
    """Add a start to the history file, under a lock; return None, or a sentence on why that failed."""
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with _locked(cache_dir):
            kept: dict[str, tuple[Run, ...]] = {}
            with suppress(FileNotFoundError, *_DAMAGE):
                kept = _read(cache_dir / FILE)
            kept[key] = (*kept.get(key, ()), run)[-KEPT_RUNS:]
            newest = sorted(kept, key=lambda name: kept[name][-1].at)[-KEPT_KINDS:]
            _write(cache_dir / FILE, {name: kept[name] for name in newest})
    except OSError as error:
        return f'cannot keep how long this start took in "{cache_dir / FILE}": {error.strerror or error}'
    return None


def _read(path: Path) -> dict[str, tuple[Run, ...]]:
    """Return {key: Runs} read from the file; OSError if unreadable, an exception of `_DAMAGE` if damaged."""
    try:
        text = read_bytes(path, MOST_BYTES)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EFBIG):  # a pipe, or far too large: not what was written there
            raise ValueError(error.strerror) from None
        raise
    starts: dict[str, list[dict[str, Any]]] = json.loads(text)["starts"]
    return {key: tuple(_run(data) for data in runs) for key, runs in starts.items() if runs}


def _run(data: dict[str, Any]) -> Run:
    """Return the Run in its JSON values; an exception of `_DAMAGE` if they are damaged."""
    seconds = {Phase(name): _seconds(value) for name, value in data["seconds"].items()}
    return Run(
        at=float(data["at"]),
        seconds=seconds,
        download_seconds=_seconds(data["download_seconds"]),
        warm=bool(data["warm"]),
    )


def _seconds(value: Any) -> float:
    """Return `value` as seconds; ValueError below 0 or above a week."""
    seconds = float(value)
    if not 0 <= seconds <= LONGEST_SECONDS:
        raise ValueError(f"{value} is no duration")
    return seconds


def _write(path: Path, kept: Mapping[str, tuple[Run, ...]]) -> None:
    """Write the history to `path` atomically, with the permissions of its directory: users can share it."""
    starts = {key: [_data(run) for run in runs] for key, runs in kept.items()}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        with temporary.open("x", encoding="utf-8") as file:
            os.fchmod(file.fileno(), path.parent.stat().st_mode & 0o666)
            json.dump({"starts": starts}, file, ensure_ascii=False, indent=1)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _data(run: Run) -> dict[str, Any]:
    """Return a Run as a dict of JSON values, with seconds rounded to milliseconds."""
    seconds = {phase.value: round(seconds, 3) for phase, seconds in run.seconds.items()}
    downloaded = round(run.download_seconds, 3)
    return {"at": round(run.at, 3), "seconds": seconds, "download_seconds": downloaded, "warm": run.warm}


@contextmanager
def _locked(cache_dir: Path) -> Iterator[None]:
    """Hold the lock file of the history during the block; BlockingIOError if it is taken for 10 s."""
    fd = os.open(cache_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with suppress(PermissionError):  # created by another user, with these same permissions
            os.fchmod(fd, cache_dir.stat().st_mode & 0o666)
        _lock(fd)
        yield
    finally:
        os.close(fd)


def _lock(fd: int) -> None:
    """Lock the open file; BlockingIOError if it is taken for 10 s. Without support for locks, go on."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        except OSError:
            return
        else:
            return
