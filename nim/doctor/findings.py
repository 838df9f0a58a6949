"""The result of a check: verdict, text, figures."""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from nim.frozen_dataclass import frozen_dataclass

Fact = str | float | bool | None


class Verdict(StrEnum):
    """Verdict of a check. `unknown` could not be determined and does not count as a finding."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"
    UNKNOWN = "unknown"


@frozen_dataclass
class Finding:
    """A check's result: text for people, figures for programs."""

    check: str
    verdict: Verdict
    seen: str
    facts: Mapping[str, Fact] = field(default_factory=dict)

    @property
    def is_bad(self) -> bool:
        """Return whether the verdict is a warning or a failure."""
        return self.verdict in (Verdict.WARN, Verdict.FAIL)


def milliseconds(seconds: float) -> str:
    """Return a duration in seconds as text: below one second in ms, else in s."""
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
