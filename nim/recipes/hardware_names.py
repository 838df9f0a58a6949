"""Hardware names used in recipes → GPU products: GPU models, whole machines and GPU generations."""

import re

from nim.frozen_dataclass import frozen_dataclass
from nim.hardware.gpu_products import PRODUCTS, Product

EVERY_GPU = "nvidia"
"""The name that recipes use for all NVIDIA GPUs."""
CPU_KEYS = ("cpu", "xeon6", "xeon5")
GPUS_PER_MACHINE = 8
# GPUs that are built into machines with fewer than eight of them.
_SMALL_MACHINES = {
    "NVIDIA GB200": 4,
    "NVIDIA GB300": 4,
    "NVIDIA GB10": 1,
    "NVIDIA GH200 480GB": 1,
    "NVIDIA GH200 144G HBM3e": 1,
}


@frozen_dataclass
class Target:
    """Hardware named in a recipe. `chain` lists the names that apply to it, the most general first.

    `name` is the value of the tag gpu; `device_id` is the PCI device id where it identifies these GPUs.
    If `whole`, a machine has exactly `gpus` of them and all are used; else `gpus` is the most it can have.
    """

    key: str
    chain: tuple[str, ...]
    name: str
    products: tuple[Product, ...]
    gpus: int = GPUS_PER_MACHINE
    whole: bool = False
    device_id: str | None = None


@frozen_dataclass
class _Kind:
    """One GPU model: its name as part of the name that NVML reports, and its generation."""

    name: str
    family: str
    gpus: int = GPUS_PER_MACHINE
    whole: bool = False
    by_device: bool = True


# The names that recipes use, without the number of GPUs that may follow (`_2x`).
_KINDS = {
    "a100": _Kind(name="A100", family="ampere", by_device=False),
    "h100": _Kind(name="H100", family="hopper"),
    "h200": _Kind(name="H200", family="hopper"),
    "b200": _Kind(name="B200", family="blackwell"),
    "b300": _Kind(name="B300", family="blackwell"),
    "gb200": _Kind(name="GB200", family="blackwell", gpus=4),
    "gb300": _Kind(name="GB300", family="blackwell", gpus=4),
    "dgx_station_gb300": _Kind(name="GB300", family="blackwell", gpus=1, whole=True, by_device=False),
    "dgx_spark_gb10": _Kind(name="GB10", family="blackwell", gpus=1, whole=True),
    "rtx_pro_5000": _Kind(name="RTX PRO 5000 72GB", family="blackwell", gpus=1, whole=True, by_device=False),
    "rtx_pro_6000": _Kind(name="RTX PRO 6000", family="blackwell", gpus=1, whole=True, by_device=False),
    "rtx_5090": _Kind(name="RTX 5090", family="blackwell", gpus=1, whole=True),
    "rtx_4090": _Kind(name="RTX 4090", family="ada", gpus=1, whole=True),
}
FAMILIES = {
    "ampere": ((8, 0), (8, 9)),
    "ada": ((8, 9), (9, 0)),
    "hopper": ((9, 0), (10, 0)),
    "blackwell": ((10, 0), (99, 0)),
}
"""Generation → its range of compute capabilities, the end excluded."""


def find_target(key: str) -> Target | None:
    """Return the `Target` of a recipe's hardware name; None if it is unknown or not an NVIDIA GPU."""
    if key in FAMILIES:
        return Target(key=key, chain=(key,), name=key, products=_family_products(key))
    counted = re.fullmatch(r"(\w+)_([2-9]|1[0-9])x", key)
    kind = _KINDS.get(counted[1] if counted else key)
    if kind is None:
        return None
    products = products_called(kind.name)[: 1 if kind.by_device else None]
    return Target(
        key=key,
        chain=(kind.family, key),
        name=kind.name,
        products=products,
        gpus=int(counted[2]) if counted else kind.gpus,
        whole=kind.whole or counted is not None,
        device_id=products[0].pci_id if kind.by_device else None,
    )


def is_family(target: Target) -> bool:
    """Return whether the target is a GPU generation, such as hopper."""
    return target.key in FAMILIES


def products_called(name: str) -> tuple[Product, ...]:
    """Return the products whose name contains these words, as a tuple; () if none does."""
    pattern = name_pattern((name,))
    return tuple(product for product in PRODUCTS if re.search(pattern, product.name, re.IGNORECASE))


def machine_size(product: Product) -> int:
    """Return the largest number of this GPU in one machine; 8 for most."""
    return _SMALL_MACHINES.get(product.name, GPUS_PER_MACHINE)


def is_desktop(product: Product) -> bool:
    """Return whether the product is a workstation Blackwell (compute capability 12.0 or newer).

    A recipe covers such a GPU only if it names it.
    """
    return product.compute_capability >= (12, 0)


def name_pattern(names: tuple[str, ...]) -> str:
    """Return a regular expression, for the tag product_name_regex, that matches any of these names.

    The words of a name may be separated by spaces or dashes.
    """
    return rf"\b({'|'.join(name.replace(' ', '.') for name in names)})\b"


def family_names(target: Target, without: frozenset[str]) -> tuple[str, ...]:
    """Return the plain names of a generation's GPUs, except those of the hardware keys in `without`."""
    taken = {plain_name(product) for key in without if (t := find_target(key)) for product in t.products}
    names = dict.fromkeys(plain_name(product) for product in target.products)
    return tuple(name for name in names if name not in taken)


def plain_name(product: Product) -> str:
    """Return the model name without form factor or edition, such as `H100` or `RTX PRO 6000`."""
    bare = re.sub(r"^(NVIDIA|Tesla) (GeForce )?", "", product.name)
    found = re.match(r"RTX (PRO )?[A-Z]?\d+( Ada)?|[A-Z]+\d+[A-Z]?", bare)
    return found[0] if found else bare


def _family_products(family: str) -> tuple[Product, ...]:
    """Return a tuple of the products of a GPU generation, by compute capability."""
    first, end = FAMILIES[family]
    return tuple(product for product in PRODUCTS if first <= product.compute_capability < end)
