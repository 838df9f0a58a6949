"""The layout of a stored weight: bits per element, and tiles of elements that share a scale."""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from math import ceil, gcd

from nim.frozen_dataclass import frozen_dataclass
from nim.models.weights.tensor_parallel_split import CannotSplitError, Share

# The smallest side of a tile that the engine refines those of experts to.
_SMALLEST_TILE = 32


class Rule(StrEnum):
    """What a rank's part of a quantized weight has to be made of."""

    NONE = "none"
    BLOCKS = "blocks"  # whole tiles, rows and columns
    GROUPS = "groups"  # whole groups along a row
    HALVED = "halved"  # experts: groups are halved until they fit
    MULTIPLE = "multiple"  # rows that are a multiple of a group long, split or not


@frozen_dataclass
class Storage:
    """A format. A tile is `tile_rows` by `tile_columns` elements; None is the whole side."""

    bits: int
    scale_bits: int = 0  # of a tile: its scale and its zero point
    tile_rows: int | None = None
    tile_columns: int | None = None
    rule: Rule = Rule.NONE
    refined_scale_bits: int | None = None  # of a halved tile, where they are others
    round_inner: int = 1  # experts: the rank's part of their width is rounded up to a multiple of this
    round_hidden: int = 1

    def matrix_bytes(self, rows: int, columns: int) -> int:
        """Return the bytes of a matrix of `rows` × `columns` in this format, scales included."""
        tiles = ceil(rows / (self.tile_rows or rows or 1)) * ceil(
            columns / (self.tile_columns or columns or 1)
        )
        return ceil((rows * columns * self.bits + tiles * self.scale_bits) / 8)

    def check(self, inputs: Share, outputs: Sequence[Share], ranks: int) -> None:
        """Raise `CannotSplitError` where a rank's part of a linear layer is not made of whole tiles."""
        match self.rule:
            case Rule.BLOCKS:
                self._check_blocks(inputs, outputs, ranks)
            case Rule.GROUPS if inputs.divided and ranks > 1:
                self._check_width(inputs, inputs.on_rank(ranks), self.tile_columns, "groups")
            case Rule.MULTIPLE:
                self._check_width(inputs, inputs.on_rank(ranks), self.tile_columns, "groups")

    def _check_blocks(self, inputs: Share, outputs: Sequence[Share], ranks: int) -> None:
        """Raise CannotSplitError for parts that are not whole blocks (vLLM's `validate_fp8_block_shape`)."""
        if inputs.divided and ranks > 1:
            self._check_width(inputs, inputs.on_rank(ranks), self.tile_columns, "blocks")
        if len(outputs) == 1 and outputs[0].divided and ranks > 1:
            self._check_width(outputs[0], outputs[0].on_rank(ranks), self.tile_rows, "blocks")

    @staticmethod
    def _check_width(share: Share, width: int, size: int | None, tiles: str) -> None:
        """Raise CannotSplitError for a width that is not made of whole tiles."""
        if size and width % size:
            raise CannotSplitError(f"{share.name} in {tiles} of {size}")

    def for_experts(self, inner: Share, hidden: int, ranks: int) -> "Storage":
        """Return the `Storage` of a rank's experts, tiles refined to fit; CannotSplitError if none fits."""
        width = inner.on_rank(ranks)
        match self.rule:
            case Rule.GROUPS:
                self._check_width(inner, width, self.tile_columns, "groups")
            case Rule.HALVED if self.tile_columns:
                size = _halved(self.tile_columns, inner, width, hidden)
                refined = self.scale_bits if self.refined_scale_bits is None else self.refined_scale_bits
                scale_bits = self.scale_bits if size == self.tile_columns else refined
                return replace(self, tile_columns=size, scale_bits=scale_bits)
            case Rule.BLOCKS if self.tile_rows and self.tile_columns:
                if width % self.tile_rows or (ranks > 1 and width % self.tile_columns):
                    size = _refined(self.tile_rows, self.tile_columns, inner, width, hidden)
                    return replace(self, tile_rows=size, tile_columns=size)
        return self


def _halved(size: int, inner: Share, width: int, hidden: int) -> int:
    """Return the group size halved until it divides both sides, as vLLM does; CannotSplitError below 32."""
    group = size
    while width % group or hidden % group:
        group //= 2
        if group < _SMALLEST_TILE:
            raise CannotSplitError(f"{inner.name} in groups of {size}")
    return group


def _refined(rows: int, columns: int, inner: Share, width: int, hidden: int) -> int:
    """Return the largest tile side that divides every size, as vLLM does; CannotSplitError below 32."""
    size = gcd(rows, columns, width, hidden)
    if size < _SMALLEST_TILE:
        raise CannotSplitError(f"{inner.name} in blocks of {rows}")
    return size


def plain(bits: int) -> Storage:
    """Return the `Storage` of unquantized weights with this many bits per element."""
    return Storage(bits=bits)
