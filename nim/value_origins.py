"""A resolved option value with its origin (layer and place) and the values it overrode."""

from enum import IntEnum
from typing import Any

from nim.frozen_dataclass import frozen_dataclass


class Layer(IntEnum):
    """The seven layers, weakest first; a higher one overrides a lower one."""

    DEFAULT = 0
    DERIVED = 1
    PROFILE = 2
    RUNTIME_CONFIG = 3
    ENV = 4
    PASSTHROUGH = 5
    CLI = 6


@frozen_dataclass
class Origin:
    """A layer and the place within it: a variable, a file, a rule."""

    layer: Layer
    place: str

    def __str__(self) -> str:
        return f"{self.layer.name} ({self.place})"


@frozen_dataclass
class Value:
    """A resolved value. `previous` holds everything it overrode, strongest first."""

    value: Any
    origin: Origin
    previous: tuple["Value", ...] = ()
