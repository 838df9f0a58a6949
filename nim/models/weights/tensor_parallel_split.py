"""One side of a weight matrix, and how the ranks of a tensor-parallel group divide it."""

from dataclasses import dataclass
from math import ceil


class CannotSplitError(Exception):
    """A number of ranks that a weight cannot be split over. `what` names the weight: `10 KV heads`."""

    def __init__(self, what: str) -> None:
        """Create the error for a weight described by `what`."""
        super().__init__(what)
        self.what = what


@dataclass(frozen=True, slots=True)
class Share:
    """`count` units of `unit` elements each. Ranks take whole units."""

    count: int
    unit: int = 1
    what: str = "a width of {}"  # names it in a refusal
    divided: bool = True  # False: every rank holds all of it
    repeated: bool = False  # with more ranks than units, several ranks hold the same unit
    or_whole: bool = False  # a rank holds all of it where it does not divide
    blocks: int = 1  # units are shared out in blocks of this many; the last ranks' are padded
    least: int = 0  # a rank's part is padded to this

    @property
    def elements(self) -> int:
        """Return the elements of the whole model."""
        return self.count * self.unit

    @property
    def name(self) -> str:
        """Return the words for it in a refusal."""
        return self.what.format(self.count)

    def on_rank(self, ranks: int) -> int:
        """Return the elements that one of `ranks` holds; raise `CannotSplitError` if they do not divide."""
        if not self.divided or ranks == 1:
            return self.elements
        if self.blocks > 1:
            return ceil(self.count // self.blocks / ranks) * self.blocks * self.unit
        if self.count % ranks == 0:
            return max(self.count // ranks, self.least) * self.unit
        if self.repeated and self.count and ranks % self.count == 0:
            return self.unit
        if self.or_whole:
            return self.elements
        raise CannotSplitError(self.name)


def undivided(elements: int) -> Share:
    """Return a side that every rank holds in full."""
    return Share(elements, divided=False)
