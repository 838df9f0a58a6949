"""What a check has found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Fact = str | float | bool | None


class Verdict(StrEnum):
    """How a check ended. `unknown` is what cannot be told from here, and counts as no finding."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check: what was seen, for people; the figures behind it, for programs."""

    check: str
    verdict: Verdict
    seen: str
    facts: Mapping[str, Fact] = field(default_factory=dict)

    @property
    def is_bad(self) -> bool:
        return self.verdict in (Verdict.WARN, Verdict.FAIL)


def milliseconds(seconds: float) -> str:
    """A duration as people read it."""
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
