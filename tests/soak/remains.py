"""What a service left behind, and the resources of its lasting processes."""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nim.cleanup.read_and_watch_processes import all_processes
from tests.process.service import command_line

SHARED_MEMORY = Path("/dev/shm")


def processes_of(run_dir: Path) -> list[str]:
    """Return the processes with the run directory in environment or command line."""
    found = []
    for process in all_processes().values():
        if process.state not in "ZX" and process.pid != os.getpid() and _names(process.pid, str(run_dir)):
            found.append(f"{process.pid} {process.name}: {command_line(process.pid)[:80]}")
    return found


def _names(pid: int, text: str) -> bool:
    with suppress(OSError):
        environ = Path(f"/proc/{pid}/environ").read_bytes()
        return text.encode() in environ or text in command_line(pid)
    return False


def special_files(*directories: Path) -> list[str]:
    """Return sockets, pipes and locks below these."""
    paths = (path for directory in directories for path in directory.rglob("*"))
    return [
        str(path)
        for path in paths
        if path.is_socket() or path.is_fifo() or path.name in ("lock", "draining", "stalled", "serving")
    ]


def shared_memory_of(pid: int) -> set[str]:
    """Return the segments that a process has mapped or open."""
    return set(_shared_memory_of(Path(f"/proc/{pid}")))


def _shared_memory_of(process: Path) -> Iterator[str]:
    prefix = f"{SHARED_MEMORY}/"
    with suppress(OSError):
        for line in (process / "maps").read_text(errors="replace").splitlines():
            if prefix in line:
                yield line.rpartition(prefix)[2]
        for fd in (process / "fd").iterdir():
            with suppress(OSError):
                if (target := str(fd.readlink())).startswith(prefix):
                    yield target.removeprefix(prefix)


def still_there(segments: set[str]) -> list[str]:
    """Return those segments that nobody has removed."""
    return [name for name in segments if (SHARED_MEMORY / name).exists()]


def port_is_free(port: int) -> bool:
    """Return whether another service could take it now."""
    with socket.socket() as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as nginx does
        with suppress(OSError):
            link.bind(("0.0.0.0", port))
            return True
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What one process has: open descriptors and resident memory."""

    descriptors: int
    memory_kib: int


def holding(pid: int) -> Holding:
    """Return the open descriptors and memory of a running process."""
    status = Path(f"/proc/{pid}/status").read_text()
    (memory,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
    return Holding(descriptors=len(os.listdir(f"/proc/{pid}/fd")), memory_kib=int(memory))  # noqa: PTH208
