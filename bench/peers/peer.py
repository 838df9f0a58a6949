"""The class that describes one proxy to the benchmarks."""

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

CHAT = "/v1/chat/completions"
KEY = "sk-bench"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a peer runs: a directory of its own, the port to listen on, the upstream behind it."""

    directory: Path
    port: int
    upstream_port: int
    upstream_socket: Path

    def write(self, name: str, text: str) -> str:
        """Return a file in the directory; its path."""
        path = self.directory / name
        path.write_text(text, encoding="utf-8")
        return str(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program to start. `aside` runs beside it on the client's core and is not counted.

    `chatty`: it says so much that nobody keeps it.
    """

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    aside: Sequence[str] = ()
    chatty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """`command` writes what it needs into the site; `missing` says what to type where it is not installed.

    `transport` is how it reaches the engine. `floor` is what looks at nothing of what it forwards.
    `slow`: thousands of times the work, so it gets fewer streams. `live` is a path that it answers by itself.
    `context` is for a client of one that asks for TLS.
    """

    name: str
    title: str
    command: Callable[[Site], Command]
    missing: Callable[[], str | None] = lambda: None
    transport: str = "tcp"
    floor: bool = False
    slow: bool = False
    live: str | None = None
    context: ssl.SSLContext | None = None
