"""Table of GPU products: NVML's name, memory, compute capability, device id.

Names, device ids and compute capabilities are NVIDIA's. `memory_gb` is the figure on the box; `memory_mib` is
what NVML reports with the card's usual ECC setting, or None where nobody published it.
"""

import re
from collections.abc import Mapping

from nim.frozen_dataclass import frozen_dataclass
from nim.hardware.types import GB, MIB

NVIDIA_VENDOR = "10de"


@frozen_dataclass
class Product:
    """One product. `own_memory` is False if GPU and CPU share memory and NVML reports none."""

    name: str
    memory_gb: int
    memory_mib: int | None
    compute_capability: tuple[int, int]
    device_id: str
    aliases: tuple[str, ...] = ()
    unified_memory: bool = False
    own_memory: bool = True

    @property
    def memory_bytes(self) -> int | None:
        """Return the memory in bytes: NVML's figure, else the nominal one; None if it is the host's."""
        if not self.own_memory:
            return None
        return self.memory_gb * GB if self.memory_mib is None else self.memory_mib * MIB

    @property
    def pci_id(self) -> str:
        """Return the PCI id as `device:vendor` text, such as "2335:10de"."""
        return f"{self.device_id}:{NVIDIA_VENDOR}"

    @property
    def short_name(self) -> str:
        """Return the name people type: the first alias, or the name without its maker."""
        return self.aliases[0] if self.aliases else self.name.removeprefix("NVIDIA ")


def _row(
    name: str,
    gb: int,
    mib: int | None,
    capability: tuple[int, int],
    device: str,
    *aliases: str,
    unified: bool = False,
) -> Product:
    """Return the `Product` of one row of the table."""
    return Product(
        name=name,
        memory_gb=gb,
        memory_mib=mib,
        compute_capability=capability,
        device_id=device,
        aliases=aliases,
        unified_memory=unified,
        own_memory=name != "NVIDIA GB10",
    )


_PRO_6000 = "NVIDIA RTX PRO 6000 Blackwell"

PRODUCTS: tuple[Product, ...] = (
    _row("Tesla V100-SXM2-16GB", 16, 16384, (7, 0), "1db1", "V100", "V100-SXM2"),
    _row("Tesla V100-SXM2-32GB", 32, 32768, (7, 0), "1db5", "V100-32GB"),
    _row("Tesla V100-PCIE-16GB", 16, 16384, (7, 0), "1db4", "V100-PCIe"),
    _row("Tesla V100-PCIE-32GB", 32, 32768, (7, 0), "1db6", "V100-PCIe-32GB"),
    _row("Tesla T4", 16, 15360, (7, 5), "1eb8", "T4"),
    _row("NVIDIA A100-SXM4-80GB", 80, 81920, (8, 0), "20b2", "A100", "A100-SXM", "A100-SXM4"),
    _row("NVIDIA A100-SXM4-40GB", 40, 40960, (8, 0), "20b0", "A100-40GB", "A100-SXM-40GB"),
    _row("NVIDIA A100 80GB PCIe", 80, 81920, (8, 0), "20b5", "A100-PCIe", "A100-PCIe-80GB"),
    _row("NVIDIA A100-PCIE-40GB", 40, 40960, (8, 0), "20f1", "A100-PCIe-40GB"),
    _row("NVIDIA A30", 24, 24576, (8, 0), "20b7", "A30"),
    _row("NVIDIA A10", 24, 23028, (8, 6), "2236", "A10"),
    _row("NVIDIA A10G", 24, 23028, (8, 6), "2237", "A10G"),
    _row("NVIDIA A40", 48, 46068, (8, 6), "2235", "A40"),
    _row("NVIDIA RTX A6000", 48, 49140, (8, 6), "2230", "RTX-A6000", "A6000"),
    _row("NVIDIA GeForce RTX 3090", 24, 24576, (8, 6), "2204", "RTX-3090", "3090"),
    _row("NVIDIA L4", 24, 23034, (8, 9), "27b8", "L4"),
    _row("NVIDIA L20", 48, 46068, (8, 9), "26ba", "L20"),
    _row("NVIDIA L40", 48, 46068, (8, 9), "26b5", "L40"),
    _row("NVIDIA L40S", 48, 46068, (8, 9), "26b9", "L40S"),
    _row("NVIDIA RTX 6000 Ada Generation", 48, 49140, (8, 9), "26b1", "RTX-6000-Ada", "6000-Ada"),
    _row("NVIDIA GeForce RTX 4090", 24, 24564, (8, 9), "2684", "RTX-4090", "4090"),
    _row("NVIDIA H100 80GB HBM3", 80, 81559, (9, 0), "2330", "H100", "H100-SXM", "H100-SXM5"),
    _row("NVIDIA H100 PCIe", 80, 81559, (9, 0), "2331", "H100-PCIe"),
    _row("NVIDIA H100 NVL", 94, 95830, (9, 0), "2321", "H100-NVL"),
    _row("NVIDIA H20", 96, 97871, (9, 0), "2329", "H20"),
    _row("NVIDIA H200", 141, 143771, (9, 0), "2335", "H200", "H200-SXM", "H200-SXM5"),
    _row("NVIDIA H200 NVL", 141, 143771, (9, 0), "233b", "H200-NVL"),
    _row("NVIDIA GH200 480GB", 96, 97871, (9, 0), "2342", "GH200", "GH200-480GB", unified=True),
    _row("NVIDIA GH200 144G HBM3e", 144, 146831, (9, 0), "2348", "GH200-144G", "GH200-144GB", unified=True),
    _row("NVIDIA B200", 180, 183359, (10, 0), "2901", "B200", "B200-SXM", "B200-SXM6"),
    _row("NVIDIA GB200", 192, 189471, (10, 0), "2941", "GB200", unified=True),
    _row("NVIDIA B300 SXM6 AC", 288, 275040, (10, 3), "3182", "B300", "B300-SXM", "B300-SXM6"),
    _row("NVIDIA GB300", 288, 284208, (10, 3), "31c2", "GB300", unified=True),
    _row("NVIDIA GB10", 128, None, (12, 1), "2e12", "GB10", "DGX-Spark", unified=True),
    _row("NVIDIA GeForce RTX 5090", 32, 32607, (12, 0), "2b85", "RTX-5090", "5090"),
    _row("NVIDIA RTX PRO 4500 Blackwell", 32, 32623, (12, 0), "2c31", "RTX-PRO-4500-WS"),
    _row("NVIDIA RTX PRO 4500 Blackwell Server Edition", 32, None, (12, 0), "2c3a", "RTX-PRO-4500"),
    _row("NVIDIA RTX PRO 5000 Blackwell", 48, 48935, (12, 0), "2bb3", "RTX-PRO-5000"),
    _row("NVIDIA RTX PRO 5000 72GB Blackwell", 72, 73415, (12, 0), "2bb3", "RTX-PRO-5000-72GB"),
    _row(f"{_PRO_6000} Server Edition", 96, 97887, (12, 0), "2bb5", "RTX-PRO-6000", _PRO_6000),
    _row(f"{_PRO_6000} Workstation Edition", 96, 97887, (12, 0), "2bb1", "RTX-PRO-6000-WS"),
    _row(f"{_PRO_6000} Max-Q Workstation Edition", 96, 97887, (12, 0), "2bb4", "RTX-PRO-6000-Max-Q"),
)


def find_product(name: str) -> Product | None:
    """Return the `Product` with this name or alias, spelled loosely; None if there is none."""
    return _spellings().get(_plain(name))


def product_named(name: str | None) -> Product | None:
    """Return the `Product` that NVML reports under exactly this name; None if there is none."""
    return next((product for product in PRODUCTS if product.name == name), None)


def product_names() -> tuple[str, ...]:
    """Return the short name (`Product.short_name`) of every product in the table."""
    return tuple(product.short_name for product in PRODUCTS)


def _spellings() -> Mapping[str, Product]:
    """Return a mapping from every plain spelling to its `Product`; own names take precedence."""
    derived: dict[str, Product] = {}
    given: dict[str, Product] = {}
    for product in PRODUCTS:
        for name in (product.name, *product.aliases):
            plain = _plain(name)
            given[plain] = product
            for memory in (f"{product.memory_gb}gb", str(product.memory_gb)):
                derived.setdefault(plain + memory, product)
            derived.setdefault(re.sub(r"(?<=\d)gb?$", "", plain), product)
    return derived | given


def _plain(name: str) -> str:
    """Return a name in lower case without maker, "GeForce", "Tesla" and separators."""
    return re.sub(r"[^a-z0-9]|nvidia|geforce|tesla", "", name.lower())
