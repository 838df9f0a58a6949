"""Findings about a model's files, each with one sentence and what to type next."""

from collections.abc import Iterable
from enum import Enum

from nim.errors import WeightsError
from nim.frozen_dataclass import frozen_dataclass


class Fault(Enum):
    """How far a finding is from a model that can be loaded."""

    MISSING = "a download may still bring it"
    DAMAGED = "the engine will refuse it as it is"
    PLACEHOLDER = "a file of the right size without content, which is enough for a plan"


@frozen_dataclass
class Finding:
    """`message` begins "cannot …"; `hint` is a command or a setting."""

    fault: Fault
    message: str
    hint: str

    @property
    def line(self) -> str:
        """Return the finding as one line: message and hint."""
        return f"{self.message} (hint: {self.hint})"


def refuse(findings: Iterable[Finding], *faults: Fault) -> None:
    """Raise WeightsError for the first finding that has one of these faults; return nothing if none has."""
    for finding in findings:
        if finding.fault in faults:
            raise error_of(finding)


def error_of(finding: Finding) -> WeightsError:
    """Return the finding as a WeightsError, not raised."""
    return WeightsError(finding.message, hint=finding.hint)
