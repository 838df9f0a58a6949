"""Read one GPU, or the MIG devices it is divided into, from an NVML handle.

`nvml` is the module pynvml, or whatever answers like it.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from nim.hardware.gpu_products import Product, product_named
from nim.hardware.types import MIB, Gpu, Mig

_MIG_NAME = re.compile(r"\bMIG (\S+)$")


def read_device(nvml: Any, handle: Any, index: int) -> tuple[list[Gpu], list[str]]:
    """Return the GPU, or its MIG devices, as a list of `Gpu`, and a list of warnings."""
    gpu = _whole(nvml, handle, index)
    divided = _divided(nvml, handle)
    if divided is None:
        unsure = replace(gpu, memory_total_bytes=None, memory_free_bytes=None)
        return [unsure], [f"GPU {index}: NVML does not say whether MIG divides it: its memory is unknown"]
    if not divided:
        return [gpu], []
    slices = [_slice(nvml, mig, gpu) for mig in _mig_handles(nvml, handle)]
    return slices, [] if slices else [f"GPU {index} ({gpu.uuid}) is divided by MIG, and no slice is visible"]


def _whole(nvml: Any, handle: Any, index: int) -> Gpu:
    """Return the `Gpu` for a handle, as a whole; what NVML does not report is None."""
    name = text(ask(nvml, "nvmlDeviceGetName", handle))
    product = product_named(name)
    total, free = (None, None) if product and not product.own_memory else _memory(nvml, handle)
    use = ask(nvml, "nvmlDeviceGetUtilizationRates", handle)
    capability = ask(nvml, "nvmlDeviceGetCudaComputeCapability", handle)
    return Gpu(
        index=index,
        name=name,
        uuid=text(ask(nvml, "nvmlDeviceGetUUID", handle)),
        pci_address=pci_address(nvml, handle),
        pci_id=_pci_id(nvml, handle),
        memory_total_bytes=total,
        memory_free_bytes=free,
        compute_capability=tuple(capability) if capability else None,
        unified_memory=_unified_memory(nvml, handle, product),
        utilization_percent=int(use.gpu) if use else None,
    )


def _divided(nvml: Any, handle: Any) -> bool | None:
    """Return whether MIG is enabled; None if NVML does not report it, as inside a slice."""
    try:
        current, _ = nvml.nvmlDeviceGetMigMode(handle)
    except nvml.NVMLError as error:
        without = (nvml.NVML_ERROR_NOT_SUPPORTED, nvml.NVML_ERROR_FUNCTION_NOT_FOUND)
        return False if error.value in without else None
    return bool(current)


def _mig_handles(nvml: Any, handle: Any) -> Iterator[Any]:
    """Yield the handles of a GPU's MIG devices."""
    for number in range(ask(nvml, "nvmlDeviceGetMaxMigDeviceCount", handle) or 0):
        mig = ask(nvml, "nvmlDeviceGetMigDeviceHandleByIndex", handle, number)
        if mig is not None:
            yield mig


def _slice(nvml: Any, handle: Any, parent: Gpu) -> Gpu:
    """Return the `Gpu` of a MIG device: its own UUID and memory, the rest from its parent."""
    total, free = _slice_memory(nvml, handle, parent)
    profile = _MIG_NAME.search(text(ask(nvml, "nvmlDeviceGetName", handle)) or "")
    return Gpu(
        index=parent.index,
        name=parent.name,
        uuid=text(ask(nvml, "nvmlDeviceGetUUID", handle)),
        pci_address=parent.pci_address,
        pci_id=parent.pci_id,
        memory_total_bytes=total,
        memory_free_bytes=free,
        compute_capability=parent.compute_capability,
        unified_memory=parent.unified_memory,
        mig=Mig(
            profile=profile[1] if profile else None,
            parent_uuid=parent.uuid,
            gpu_instance_id=ask(nvml, "nvmlDeviceGetGpuInstanceId", handle),
            compute_instance_id=ask(nvml, "nvmlDeviceGetComputeInstanceId", handle),
        ),
    )


def _slice_memory(nvml: Any, handle: Any, parent: Gpu) -> tuple[int | None, int | None]:
    """Return (total, free) bytes of a MIG device; None for a figure that NVML does not report."""
    total, free = _memory(nvml, handle)
    if total is None or parent.memory_total_bytes is None or total < parent.memory_total_bytes:
        return total, free
    attributes = ask(nvml, "nvmlDeviceGetAttributes", handle)
    size = attributes.memorySizeMB * MIB if attributes else 0
    return (size, None) if 0 < size < total else (None, None)


def _memory(nvml: Any, handle: Any) -> tuple[int | None, int | None]:
    """Return total and free memory in bytes; (None, None) if NVML reports none."""
    info = ask(nvml, "nvmlDeviceGetMemoryInfo", handle)
    return (int(info.total), int(info.free)) if info and info.total else (None, None)


def _unified_memory(nvml: Any, handle: Any, product: Product | None) -> bool | None:
    """Return whether CPU and GPU share memory (ATS), by NVML or else the product; None if unknown."""
    mode = ask(nvml, "nvmlDeviceGetAddressingMode", handle)
    if mode is not None and mode == getattr(nvml, "NVML_DEVICE_ADDRESSING_MODE_ATS", None):
        return True
    if product:
        return product.unified_memory
    return None if mode is None else False


def pci_address(nvml: Any, handle: Any) -> str | None:
    """Return a GPU's PCI address as text; None if NVML does not report it."""
    info = ask(nvml, "nvmlDeviceGetPciInfo", handle)
    return (text(info.busId) or None) if info else None


def _pci_id(nvml: Any, handle: Any) -> str | None:
    """Return "device:vendor" in hex, such as "2335:10de"; None if NVML does not report it."""
    info = ask(nvml, "nvmlDeviceGetPciInfo", handle)
    return f"{info.pciDeviceId >> 16:04x}:{info.pciDeviceId & 0xFFFF:04x}" if info else None


def ask(nvml: Any, function: str, *arguments: Any) -> Any:
    """Call NVML's `function` and return its result; None if it is unsupported, not permitted or missing."""
    call = getattr(nvml, function, None)
    try:
        return call(*arguments) if call else None
    except nvml.NVMLError:
        return None


def text(value: str | bytes | None) -> str | None:
    """Return a string from NVML, decoded if it is bytes (older bindings); None stays None."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
