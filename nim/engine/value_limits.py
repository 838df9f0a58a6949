"""Limits that the engine's configuration classes set to a number or a word, and their check."""

from collections.abc import Mapping
from typing import Any

from nim.engine.arguments.read_numbers_and_names import MisfitError
from nim.errors import nearest
from nim.frozen_dataclass import frozen_dataclass

_PERCENT = 100


@frozen_dataclass
class Limits:
    """The values that a field accepts, under JSON schema's names. An empty `enum` accepts any."""

    minimum: float | None = None
    exclusive_minimum: float | None = None
    maximum: float | None = None
    exclusive_maximum: float | None = None
    enum: tuple[Any, ...] = ()

    def check(self, value: Any) -> None:
        """Raise MisfitError for a number or word outside the limits; None, bool and others pass."""
        if self.enum and isinstance(value, str | int) and value not in self.enum:
            raise self._no_choice(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and not self._holds(value):
            reason = f"{value:g} is out of range"
            raise MisfitError(reason, allowed=(self.range_text(),), write=self._meant(value))

    def range_text(self) -> str:
        """Return the range as text, "1 or more" or "above 0 and at most 1"; "" without limits."""
        low = [f"above {self.exclusive_minimum:g}"] if self.exclusive_minimum is not None else []
        if self.minimum is not None:
            bounded = self.maximum is not None or self.exclusive_maximum is not None
            low = [f"at least {self.minimum:g}" if bounded else f"{self.minimum:g} or more"]
        high = [f"at most {self.maximum:g}"] if self.maximum is not None else []
        high += [f"below {self.exclusive_maximum:g}"] if self.exclusive_maximum is not None else []
        return " and ".join([*low, *high])

    def _holds(self, value: float) -> bool:
        """Return True if the number is within the limits."""
        return (
            (self.minimum is None or value >= self.minimum)
            and (self.exclusive_minimum is None or value > self.exclusive_minimum)
            and (self.maximum is None or value <= self.maximum)
            and (self.exclusive_maximum is None or value < self.exclusive_maximum)
        )

    def _meant(self, value: float) -> str | None:
        """Return 80 as "0.8" if the limit is a share up to 1 and the result is valid; else None."""
        share = self.maximum == 1 or self.exclusive_maximum == 1
        meant = value / _PERCENT
        return f"{meant:g}" if share and value > 1 and self._holds(meant) else None

    def _no_choice(self, value: Any) -> MisfitError:
        """Return (not raise) the MisfitError for a value that is not in `enum`."""
        names = [str(choice) for choice in self.enum]
        near = nearest(str(value), names, 1)
        shown = f'"{value}"' if isinstance(value, str) else str(value)
        return MisfitError(
            f"{shown} is not among its choices", allowed=names, write=near[0] if near else None
        )


def limits_from(row: Mapping[str, Any]) -> Limits:
    """Return the Limits in a row with JSON schema's names (minimum, exclusiveMaximum, enum …)."""
    return Limits(
        minimum=row.get("minimum"),
        exclusive_minimum=row.get("exclusiveMinimum"),
        maximum=row.get("maximum"),
        exclusive_maximum=row.get("exclusiveMaximum"),
        enum=tuple(row.get("enum", ())),
    )
