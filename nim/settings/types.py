"""What a setting is. The declarations themselves are in `declared`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How a variable's text becomes a value. `read` raises ValueError saying what was expected."""

    name: str
    read: Callable[[str], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One variable: declared once, read, documented and explained from here.

    `option` is the engine option that it sets; `aliases` are older names, each accepted with a warning
    unless the operator itself writes them (`quiet_aliases`). `ours` are those that NIM does not have.
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
        """Every name it answers to, the one to use first."""
        return (self.name, *self.quiet_aliases, *self.aliases)


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """A variable of NIM's that must not be ignored: why, what there is instead, what asks for nothing."""

    because: str
    instead: str
    harmless: frozenset[str]


def setting(name: str, kind: Kind, default: Any, about: str, **more: Any) -> Any:
    """A dataclass field that carries its declaration."""
    declaration = Setting(name=name, kind=kind, default=default, help=about, **more)
    return field(default=default, metadata={"setting": declaration})
