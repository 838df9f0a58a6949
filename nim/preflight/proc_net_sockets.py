"""TCP sockets as listed by the kernel: listeners of a port, and its connections."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from nim.frozen_dataclass import frozen_dataclass

_ESTABLISHED, _LISTEN = "01", "0A"


@frozen_dataclass
class Listener:
    """A process that listens on a port."""

    pid: int
    command: str


def count_connections(port: int) -> int:
    """Return the number of established TCP connections to a local port, read from /proc/net."""
    return sum(1 for _ in _sockets(port, _ESTABLISHED))


def find_listener(port: int) -> Listener | None:
    """Return the Listener (pid, command) on a port; None if there is none or it is not visible."""
    inodes = {f"socket:[{inode}]" for inode in _sockets(port, _LISTEN)}
    for entry in Path("/proc").iterdir() if inodes else ():
        if entry.name.isdigit() and _holds(entry, inodes):
            return Listener(pid=int(entry.name), command=_command(entry))
    return None


def _sockets(port: int, state: str) -> Iterator[str]:
    """Yield the inodes, as text, of sockets in a state with this local port, read from /proc/net."""
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path("/proc/net", table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == state and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def _holds(process: Path, inodes: set[str]) -> bool:
    """Return whether a process has one of the sockets open."""
    with suppress(OSError):
        for fd in (process / "fd").iterdir():
            with suppress(OSError):
                if str(fd.readlink()) in inodes:
                    return True
    return False


def _command(process: Path) -> str:
    """Return a process's command line as text; "?" if it cannot be read."""
    with suppress(OSError):
        words = (process / "cmdline").read_bytes().split(b"\0")
        return b" ".join(words).decode(errors="replace").strip()
    return "?"
