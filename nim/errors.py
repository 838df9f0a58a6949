"""Errors shown to users: what cannot be done, what is allowed, what to type next, and the exit code."""

from collections.abc import Sequence
from typing import ClassVar


class NimError(Exception):
    """Base of all refusals. Each class has its exit code; the reference is generated from them."""

    exit_code: ClassVar[int] = 1
    about: ClassVar[str] = "an error inside the launcher"

    def __init__(self, message: str, *, allowed: Sequence[str] = (), hint: str | None = None) -> None:
        """Create an error. `message` begins with "cannot"; `hint` is a command or a setting."""
        super().__init__(message)
        self.message = message
        self.allowed = tuple(allowed)
        self.hint = hint

    def __str__(self) -> str:
        lines = [self.message]
        if self.allowed:
            lines.append(f"  allowed here: {', '.join(self.allowed)}")
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)


class SettingsError(NimError):
    exit_code = 2
    about = "a setting or an engine flag is wrong"


class ManifestError(NimError):
    exit_code = 3
    about = "a manifest cannot be read"


class HardwareError(NimError):
    exit_code = 4
    about = "the machine cannot be used as it is"


class ProfileError(NimError):
    exit_code = 5
    about = "no profile fits, or the one asked for does not exist"


class WeightsError(NimError):
    exit_code = 6
    about = "the model's files are missing, damaged or out of reach"


class OutOfReach(WeightsError):
    """The hub did not answer, or not about the model; a retry may succeed."""


class PreflightError(NimError):
    exit_code = 7
    about = "a port, directory, permission or program that the service needs is not there"


class EngineLost(NimError):
    exit_code = 70
    about = "the engine ended unexpectedly"


class GatewayLost(NimError):
    exit_code = 71
    about = "nginx or supervisord ended unexpectedly"


STOPPED_UNCLEANLY = 143
"""Exit code of a shutdown that had to kill a process or cut a stream."""


def nearest(name: str, known: Sequence[str], count: int = 3, *, cutoff: float = 0.5) -> tuple[str, ...]:
    """Return a tuple of at most `count` known names similar to `name`, best first; empty without any."""
    from difflib import get_close_matches  # slow to import, needed only for errors

    return tuple(get_close_matches(name, known, n=count, cutoff=cutoff))
