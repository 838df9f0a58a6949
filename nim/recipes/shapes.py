"""How many GPUs a recipe's minimum of memory takes, on each of the GPUs that people have."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nim.engine.capabilities import SUPPORT
from nim.hardware.table import PRODUCTS, Product
from nim.manifest.types import BILLION, GB
from nim.recipes.hardware import Target, is_family, machine_size
from nim.selection.memory import ENGINE_UTILIZATION, GPU_WORKSPACE_BYTES
from nim.selection.memory.weights import BYTES_PER_PARAMETER

TENSOR_PARALLEL_SIZES = (1, 2, 4, 8)
MOST_STAGES = 4
CLUSTER_MEMORY_GB = 80
"""Smaller GPUs are not joined over machines."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Shape:
    """`tp` GPUs share each layer; `pp` such groups share the layers, on a machine each."""

    pp: int = 1
    tp: int = 1

    @property
    def gpus(self) -> int:
        return self.tp * self.pp


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What one set of weights needs. `vram_gb` is what its GPUs have in all; the engine takes a share of it.

    `tp` is what the recipe insists on; `several_nodes` says that it joins machines by pipeline stages.
    """

    precision: str
    vram_gb: float
    weights_gb: float | None = None
    tp: int | None = None
    utilization: float = ENGINE_UTILIZATION
    several_nodes: bool = False

    def engine_gb(self, gpus: int) -> float:
        """What the engine takes of each GPU."""
        return self.vram_gb / gpus * self.utilization

    def bytes_per_gpu(self, gpus: int) -> float:
        """The same, or the weights with what the engine takes beside them."""
        weights = 0.0 if self.weights_gb is None else self.weights_gb * GB / gpus + GPU_WORKSPACE_BYTES
        return max(self.engine_gb(gpus) * GB, weights)


def weights_gb(billions: float | None, precision: str) -> float | None:
    """Parameters times bytes."""
    size = BYTES_PER_PARAMETER.get(precision)
    return None if billions is None or size is None else billions * BILLION * size / GB


def can_calculate(product: Product, precision: str) -> bool:
    """Whether the GPU has the arithmetic for a precision."""
    support = SUPPORT[precision]
    # Of MXFP4 the kernels in 16 bits are what its models are published for.
    needed = support.minimum if precision == "mxfp4" else support.native
    return product.compute_capability >= needed


def fits(product: Product, shape: Shape, need: Need) -> bool:
    """Whether this many of a GPU hold it. GPUs that share the host's memory are taken at their word."""
    if shape.tp > machine_size(product):
        return False
    memory = product.memory_bytes or product.memory_gb * GB
    return need.bytes_per_gpu(shape.gpus) <= memory * need.utilization


def general_shapes(need: Need) -> tuple[Shape, ...]:
    """The smallest that does, for each of the GPUs people have that can calculate so."""
    able = [product for product in PRODUCTS if can_calculate(product, need.precision)]
    return _ordered(smallest(product, need) for product in able if product.own_memory)


def shapes_for(target: Target, need: Need) -> tuple[Shape, ...]:
    """The same for named hardware: all of a whole machine; else the smallest that does, and larger ones."""
    if target.whole:
        return (Shape(tp=target.gpus),)
    found: set[Shape] = set()
    for product in target.products:
        least = smallest(product, need)
        if least is not None:
            most = min(machine_size(product), target.gpus) if not is_family(target) else machine_size(product)
            larger = [s for s in general_shapes(need) if s.pp == 1 and least.tp <= s.tp <= most]
            found |= {least, *(larger if least.pp == 1 else [])}
    return _ordered(found)


def smallest(product: Product, need: Need) -> Shape | None:
    """The fewest of this GPU that hold it; None where even several machines do not."""
    size = machine_size(product)
    for tp in TENSOR_PARALLEL_SIZES if need.tp is None else (need.tp,):
        if fits(product, Shape(tp=tp), need):
            return Shape(tp=tp)
    joined = need.several_nodes and need.tp in (None, size) and product.memory_gb >= CLUSTER_MEMORY_GB
    stages: Sequence[int] = range(2, MOST_STAGES + 1) if joined and size > 1 else ()
    return next((Shape(tp=size, pp=pp) for pp in stages if fits(product, Shape(tp=size, pp=pp), need)), None)


def _ordered(shapes: Iterable[Shape | None]) -> tuple[Shape, ...]:
    return tuple(sorted({shape for shape in shapes if shape is not None}))
