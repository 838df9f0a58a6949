"""A value that knows where it came from and what it overrode."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any


class Layer(IntEnum):
    """The seven layers, weakest first. A higher one overrides a lower one."""

    DEFAULT = 0
    DERIVED = 1
    PROFILE = 2
    RUNTIME_CONFIG = 3
    ENV = 4
    PASSTHROUGH = 5
    CLI = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Which layer, and where in it: a variable's name, a file, a rule."""

    layer: Layer
    place: str

    def __str__(self) -> str:
        return f"{self.layer.name} ({self.place})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One resolved value. `previous` is everything it overrode, strongest first."""

    value: Any
    origin: Origin
    previous: tuple["Value", ...] = ()
