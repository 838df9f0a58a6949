"""How the fake engine behaves; `engine.py` describes each field."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.fakes.words import CRASHES

PHASES = ("start", "load", "compile", "warm-up", "serve")
DRAIN_ENDS = ("abort", "cut", "hang")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mood:
    """All that can be ordered; the default is a small, quick, well-behaved vLLM."""

    phases: Mapping[str, float] = field(default_factory=dict)
    shards: int = 2
    fetch: Mapping[str, Any] = field(default_factory=dict)
    segments: int = 0
    hang_in: str | None = None
    crash_in: str | None = None
    crash: str = "unknown"
    crash_text: str | None = None
    exit_code: int | None = None
    deaf: bool = False
    deaf_starting: bool = False
    teardown: float = 0
    drain: float = 0
    drain_end: str = "abort"
    core: bool = True
    core_death: float = 1
    workers: int = 0
    orphans: Sequence[str] = ()
    fail: Mapping[str, int] = field(default_factory=dict)
    stall: Sequence[str] = ()
    echo: Sequence[str] = ()
    tokens: int = 8
    token_bytes: int = 0
    first_token_ms: float = 5
    interval_ms: float = 5
    stall_after: int | None = None
    crawl_after: int | None = None
    crawl_ms: float = 1000
    cut_after: int | None = None
    die_after: int | None = None
    keep_alive: float | None = None
    routes: Sequence[str] = ()

    def __post_init__(self) -> None:
        phases = {self.hang_in, self.crash_in, *self.phases} - {None, *PHASES}
        if phases or self.crash not in CRASHES or self.drain_end not in DRAIN_ENDS:
            allowed = f"phases {PHASES}, crashes {tuple(CRASHES)}, drain_end {DRAIN_ENDS}"
            raise ValueError(f"cannot be in this mood: it knows {allowed}")

    def changed(self, text: str) -> "Mood":
        """Return the mood changed by a JSON object; ValueError for an unknown field."""
        try:
            return replace(self, **json.loads(text or "{}"))
        except TypeError as error:
            raise ValueError(f"cannot be in this mood: {error}") from None
