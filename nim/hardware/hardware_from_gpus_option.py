"""Synthetic hardware from `--gpus 8xH200`, using the product table."""

import re

from nim.errors import HardwareError, nearest
from nim.hardware.gpu_products import Product, find_product, product_names
from nim.hardware.types import GB, Gpu, Hardware

MAX_GPUS = 1024
_COUNT_FIRST = re.compile(r"(?P<count>\d+)\s*[x×*]\s*(?P<name>.+)", re.IGNORECASE)
_COUNT_LAST = re.compile(r"(?P<name>.+?)\s*[x×*]\s*(?P<count>\d{1,4})", re.IGNORECASE)


def hardware_from_gpus(text: str) -> Hardware:
    """Return idle `Hardware` with the GPUs of `text`: "8xH200", "H200", "H100x2" or "4xH100,4xA100".

    All of a GPU's memory is free. What the text does not say (driver, host memory, CPUs) is unknown.
    """
    if not text.strip():
        raise _cannot(text, "it names no GPU")
    products = [product for item in text.split(",") for product in _products(item.strip(), text)]
    if len(products) > MAX_GPUS:
        raise _cannot(text, f"{len(products)} GPUs are more than {MAX_GPUS}")
    pooled = _pooled_bytes(products, text)
    return Hardware(
        gpus=tuple(_gpu(index, product) for index, product in enumerate(products)),
        source=f"--gpus {text.strip()}",
        host_memory_bytes=pooled,
        host_memory_available_bytes=pooled,
    )


def _products(item: str, text: str) -> list[Product]:
    """Return one item's products, repeated by its count; HardwareError if it names no known GPU."""
    if not item:
        raise _cannot(text, "an item between the commas is empty")
    count, name = _split(item)
    product = find_product(name)
    if product is None:
        known = nearest(name.upper(), product_names(), count=5) or product_names()
        raise HardwareError(f'cannot read --gpus "{text}": no GPU is known as "{name}"', allowed=known)
    if not 1 <= count <= MAX_GPUS:
        raise _cannot(text, f'the count in "{item}" must be from 1 to {MAX_GPUS}')
    return [product] * count


def _split(item: str) -> tuple[int, str]:
    """Return (count, name) of an item; count 1 if none is given. An x within a name (RTX 5090) stays."""
    if found := _COUNT_FIRST.fullmatch(item):
        return _number(found["count"]), found["name"].strip()
    found = _COUNT_LAST.fullmatch(item)
    if found and find_product(item) is None and find_product(found["name"]):
        return _number(found["count"]), found["name"].strip()
    return 1, item


def _number(digits: str) -> int:
    """Return the digits as an int; a value above `MAX_GPUS` if there are ten or more digits."""
    return int(digits) if len(digits) < 10 else MAX_GPUS + 1


def _pooled_bytes(products: list[Product], text: str) -> int | None:
    """Return the host memory in bytes if the one GPU shares it (GB10); None for other GPUs."""
    pools = [product for product in products if not product.own_memory]
    if not pools:
        return None
    if len(products) > 1:
        raise _cannot(text, f"a machine with a {pools[0].short_name} has that one GPU and no other")
    return pools[0].memory_gb * GB


def _gpu(index: int, product: Product) -> Gpu:
    """Return the idle `Gpu` of a product at this index, with all its memory free."""
    return Gpu(
        index=index,
        name=product.name,
        pci_id=product.pci_id,
        memory_total_bytes=product.memory_bytes,
        memory_free_bytes=product.memory_bytes,
        compute_capability=product.compute_capability,
        unified_memory=product.unified_memory,
    )


def _cannot(text: str, why: str) -> HardwareError:
    """Return the HardwareError for an invalid --gpus `text`, not raised."""
    return HardwareError(f'cannot read --gpus "{text}": {why}', hint="--gpus 8xH200, or --gpus 4xH100,4xA100")
