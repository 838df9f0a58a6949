"""What a context costs one GPU in bytes of cache, and how long a context so many bytes hold."""

from dataclasses import dataclass
from math import ceil
from typing import Protocol

LENGTH_STEP = 128


class CacheCost(Protocol):
    """The cost of one sequence on one rank."""

    def bytes_for(self, tokens: int) -> int | None:
        """Return the bytes that a context of so many tokens takes."""

    def longest(self, available: int) -> int | None:
        """Return the longest context that the bytes hold, in whole steps; None where they hold none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearCost:
    """Each token costs the same."""

    bytes_per_token: float

    def bytes_for(self, tokens: int) -> int:
        """Return the bytes that a context of so many tokens takes."""
        return ceil(self.bytes_per_token * tokens)

    def longest(self, available: int) -> int | None:
        """Return the longest context that the bytes hold, in whole steps; None where they hold none."""
        length = int(available / self.bytes_per_token) // LENGTH_STEP * LENGTH_STEP
        return length if length > 0 else None
