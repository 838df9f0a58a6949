"""Classes that declare a setting; the declarations are in `declared`."""

from collections.abc import Callable
from dataclasses import field
from typing import Any

from nim.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class Kind:
    """A kind of value. `read` converts a variable's text and raises ValueError with what was expected."""

    name: str
    read: Callable[[str], Any]


@frozen_dataclass
class Setting:
    """The declaration of one variable, used to read and to document it.

    `option` is the engine option that it sets. `aliases` are older names, accepted with a warning;
    `quiet_aliases`, which the NIM operator sets, without one. `ours` marks variables that NIM does not have.
    """

    name: str
    kind: Kind
    default: Any
    help: str
    option: str | None = None
    aliases: tuple[str, ...] = ()
    quiet_aliases: tuple[str, ...] = ()
    default_text: str | None = None
    ours: bool = False
    since: str = "0.1.0"

    @property
    def names(self) -> tuple[str, ...]:
        """Return all accepted variable names as a tuple, the preferred one first."""
        return (self.name, *self.quiet_aliases, *self.aliases)


@frozen_dataclass
class Absent:
    """A NIM variable that must not be ignored: why, what to use instead, and its harmless values."""

    because: str
    instead: str
    harmless: frozenset[str]


def setting(name: str, kind: Kind, default: Any, about: str, **more: Any) -> Any:
    """Return a dataclass field with this default and a Setting in its metadata."""
    declaration = Setting(name=name, kind=kind, default=default, help=about, **more)
    return field(default=default, metadata={"setting": declaration})
