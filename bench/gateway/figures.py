"""Medians, spreads and ratios over samples. Pure."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

NOISE = "direct-again"
DIRECT = "direct"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one measure of one target gave in one round."""

    block: str
    round: int
    scenario: str
    target: str
    figures: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Figure:
    """A median with its spread: the distance between the quartiles."""

    median: float
    spread: float
    count: int


def figure(values: Sequence[float]) -> Figure | None:
    """Return None where nothing was measured. Two values spread by their distance, one by nothing."""
    if not values:
        return None
    if len(values) < 3:
        return Figure(statistics.median(values), max(values) - min(values), len(values))
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return Figure(statistics.median(values), high - low, len(values))


@dataclass(frozen=True, slots=True)
class Samples:
    """All that was measured."""

    all: tuple[Sample, ...]

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> "Samples":
        return cls(tuple(samples))

    def values(self, scenario: str, target: str, name: str) -> dict[tuple[str, int], float]:
        """Return (block, round) → value."""
        return {
            (sample.block, sample.round): sample.figures[name]
            for sample in self.all
            if (sample.scenario, sample.target) == (scenario, target) and name in sample.figures
        }

    def figure(self, scenario: str, target: str, name: str) -> Figure | None:
        """Over all rounds of the first block that has it."""
        values = self.values(scenario, target, name)
        return figure([value for (block, _), value in values.items() if block == _first(values)])

    def ratio(self, scenario: str, target: str, other: str, name: str) -> Figure | None:
        """Return each round's own ratio, then the median: what slows the machine for a minute slows both."""
        return figure(self.ratios(scenario, target, other, name))

    def ratios(self, scenario: str, target: str, other: str, name: str) -> list[float]:
        """Return the ratio of each round."""
        return [one / two for one, two in self._pairs(scenario, target, other, name) if two]

    def added(self, scenario: str, target: str, name: str, *, over: str = DIRECT) -> Figure | None:
        """Return each round's own difference, then the median."""
        return figure([one - two for one, two in self._pairs(scenario, target, over, name)])

    def targets(self) -> list[str]:
        """Return the targets in the order in which they were first measured."""
        return list(dict.fromkeys(sample.target for sample in self.all))

    def _pairs(self, scenario: str, target: str, other: str, name: str) -> list[tuple[float, float]]:
        ones, others = self.values(scenario, target, name), self.values(scenario, other, name)
        both = {key: (value, others[key]) for key, value in ones.items() if key in others}
        return [pair for (block, _), pair in both.items() if block == _first(both)]


def _first(values: Mapping[tuple[str, int], object]) -> str:
    """Return the first block that measured a target; others may be an hour and another load apart."""
    return next(iter(values))[0]
