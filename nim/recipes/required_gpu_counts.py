"""The number of GPUs that a recipe's minimum memory requires, for each known GPU."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nim.engine.compute_capability_requirements import SUPPORT
from nim.frozen_dataclass import frozen_dataclass
from nim.hardware.gpu_products import PRODUCTS, Product
from nim.manifest.types import BILLION, GB
from nim.recipes.hardware_names import Target, is_family, machine_size
from nim.selection.memory import ENGINE_UTILIZATION, GPU_WORKSPACE_BYTES
from nim.selection.memory.weights import BYTES_PER_PARAMETER

TENSOR_PARALLEL_SIZES = (1, 2, 4, 8)
MOST_STAGES = 4
CLUSTER_MEMORY_GB = 80
"""The least memory per GPU for profiles that span several machines."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Shape:
    """`tp` GPUs share each layer; `pp` such groups, one per machine, share the stack of layers."""

    pp: int = 1
    tp: int = 1

    @property
    def gpus(self) -> int:
        """Return the number of GPUs, tp × pp."""
        return self.tp * self.pp


@frozen_dataclass
class Need:
    """The memory requirement of one set of weights.

    `vram_gb` is the total memory of its GPUs, of which the engine uses the share `utilization`. `tp` is the
    size that the recipe prescribes; `several_nodes` allows pipeline stages on several machines.
    """

    precision: str
    vram_gb: float
    weights_gb: float | None = None
    tp: int | None = None
    utilization: float = ENGINE_UTILIZATION
    several_nodes: bool = False

    def engine_gb(self, gpus: int) -> float:
        """Return the GB that the engine uses on each of `gpus` GPUs."""
        return self.vram_gb / gpus * self.utilization

    def bytes_per_gpu(self, gpus: int) -> float:
        """Return the bytes needed per GPU: the engine's share, or weights plus workspace if larger."""
        weights = 0.0 if self.weights_gb is None else self.weights_gb * GB / gpus + GPU_WORKSPACE_BYTES
        return max(self.engine_gb(gpus) * GB, weights)


def weights_gb(billions: float | None, precision: str) -> float | None:
    """Return the weights' size in GB, parameters times bytes; None if either is unknown."""
    size = BYTES_PER_PARAMETER.get(precision)
    return None if billions is None or size is None else billions * BILLION * size / GB


def can_calculate(product: Product, precision: str) -> bool:
    """Return whether a GPU product computes in a precision (for mxfp4: also without native support)."""
    support = SUPPORT[precision]
    # MXFP4 models are published for kernels that compute in 16 bits, so native FP4 is not needed.
    needed = support.minimum if precision == "mxfp4" else support.native
    return product.compute_capability >= needed


def fits(product: Product, shape: Shape, need: Need) -> bool:
    """Return whether `shape.gpus` GPUs of a product have the memory needed, within one machine's tp.

    GPUs that share the host's memory count with their nominal size.
    """
    if shape.tp > machine_size(product):
        return False
    memory = product.memory_bytes or product.memory_gb * GB
    return need.bytes_per_gpu(shape.gpus) <= memory * need.utilization


def general_shapes(need: Need) -> tuple[Shape, ...]:
    """Return a sorted tuple of known GPUs' smallest sufficient `Shape`s, if they support the precision."""
    able = [product for product in PRODUCTS if can_calculate(product, need.precision)]
    return _ordered(smallest(product, need) for product in able if product.own_memory)


def shapes_for(target: Target, need: Need) -> tuple[Shape, ...]:
    """Return the `Shape`s for named hardware: a whole machine, else the smallest and larger ones; or ()."""
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
    """Return the smallest sufficient `Shape` of a product; None if even several machines do not suffice."""
    size = machine_size(product)
    for tp in TENSOR_PARALLEL_SIZES if need.tp is None else (need.tp,):
        if fits(product, Shape(tp=tp), need):
            return Shape(tp=tp)
    joined = need.several_nodes and need.tp in (None, size) and product.memory_gb >= CLUSTER_MEMORY_GB
    stages: Sequence[int] = range(2, MOST_STAGES + 1) if joined and size > 1 else ()
    return next((Shape(tp=size, pp=pp) for pp in stages if fits(product, Shape(tp=size, pp=pp), need)), None)


def _ordered(shapes: Iterable[Shape | None]) -> tuple[Shape, ...]:
    """Return the shapes as a sorted tuple without duplicates and None."""
    return tuple(sorted({shape for shape in shapes if shape is not None}))
