"""The modules that hold a model's weights, and the bytes of each on one rank.

Vectors (norms, biases, single scales) are left out: together they are less than a thousandth of a model.
"""

from dataclasses import field
from math import ceil

from nim.frozen_dataclass import frozen_dataclass
from nim.models.weights.storage.bits_and_scales import Storage
from nim.models.weights.tensor_parallel_split import CannotSplitError, Share, undivided

# The engine pads a vocabulary to a multiple of this.
_VOCABULARY_PADDING = 64


@frozen_dataclass
class Ranks:
    """Sizes of the parallel groups."""

    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    expert_parallel: bool = False

    @property
    def expert_groups(self) -> int:
        """Return the number of ranks that share out whole experts; 1 without expert parallelism."""
        return self.tensor * self.data if self.expert_parallel else 1

    @property
    def expert_splits(self) -> int:
        """Return the number of ranks over which each expert is split; 1 with expert parallelism."""
        return 1 if self.expert_parallel else self.tensor * self.data


@frozen_dataclass
class Linear:
    """One linear module, or several merged into one: `outputs` rows of `inputs` columns."""

    name: str = field(compare=False)  # the last part names what is merged: `layers.3.self_attn.qkv_proj`
    inputs: Share
    outputs: tuple[Share, ...]
    bits: int | None = None  # where it is kept in a format of its own, quantized or not

    def bytes(self, storage: Storage, ranks: Ranks) -> int:
        """Return the module's bytes on one rank; raise `CannotSplitError` if it does not divide."""
        columns = self.inputs.on_rank(ranks.tensor)
        rows = sum(output.on_rank(ranks.tensor) for output in self.outputs)
        storage.check(self.inputs, self.outputs, ranks.tensor)
        return storage.matrix_bytes(rows, columns)


@frozen_dataclass
class Experts:
    """The routed experts of one layer: each takes `hidden` channels to `inner` and back."""

    name: str = field(compare=False)
    count: int
    hidden: int
    inner: Share
    gated: bool = True
    one_each: bool = False  # there have to be as many experts as ranks

    def bytes(self, storage: Storage, ranks: Ranks) -> int:
        """Return the bytes on the rank with most experts; raise `CannotSplitError` if they do not divide."""
        if self.one_each and ranks.tensor > self.count:
            raise CannotSplitError(f"{self.count} experts")
        splits = ranks.expert_splits
        width = _rounded(self.inner.on_rank(splits), storage.round_inner)
        hidden = _rounded(self.hidden, storage.round_hidden)
        stored = storage.for_experts(self.inner, self.hidden, splits)
        one = stored.matrix_bytes((1 + self.gated) * width, hidden) + stored.matrix_bytes(hidden, width)
        return ceil(self.count / ranks.expert_groups) * one


@frozen_dataclass
class Vocabulary:
    """An embedding, or the head that maps back to the vocabulary."""

    name: str = field(compare=False)
    rows: int
    columns: int
    whole: bool = False  # every rank holds all of it, although the head is split
    bits: int | None = None

    def bytes(self, storage: Storage, ranks: Ranks) -> int:
        """Return the bytes on one rank, vocabulary padded; raise `CannotSplitError` if it does not divide."""
        padded = Share(_rounded(self.rows, _VOCABULARY_PADDING), what="a vocabulary of {} (padded)")
        rows = padded.on_rank(ranks.tensor)
        return storage.matrix_bytes(self.rows if self.whole else rows, self.columns)


Module = Linear | Experts | Vocabulary


def column(
    name: str, inputs: int, *widths: int, what: str = "a width of {}", bits: int | None = None
) -> Linear:
    """Return a `Linear` whose outputs the ranks divide (column parallel)."""
    outputs = tuple(Share(width, what=what) for width in widths)
    return Linear(name=name, inputs=undivided(inputs), outputs=outputs, bits=bits)


def row(name: str, inputs: int, outputs: int, *, unit: int = 1, what: str = "a width of {}") -> Linear:
    """Return a `Linear` whose inputs the ranks divide in units of `unit` (row parallel)."""
    return Linear(name=name, inputs=Share(inputs // unit, unit, what), outputs=(undivided(outputs),))


def replicated(name: str, inputs: int, *widths: int, bits: int | None = None) -> Linear:
    """Return a `Linear` that every rank holds in full."""
    return Linear(name=name, inputs=undivided(inputs), outputs=tuple(map(undivided, widths)), bits=bits)


def _rounded(size: int, multiple: int) -> int:
    """Return `size` rounded up to a multiple of `multiple`."""
    return ceil(size / multiple) * multiple
