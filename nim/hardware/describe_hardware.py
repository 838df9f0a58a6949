"""Describe hardware as text."""

from collections import Counter
from collections.abc import Sequence

from nim.hardware.types import GIB, Gpu, Hardware

_UNKNOWN = "unknown"


def describe_hardware(hardware: Hardware) -> str:
    """Return text of several lines, one per GPU and one per fact of the machine; sizes in GiB."""
    lines = [f"GPUs: {len(hardware.gpus) or '<none>'} (from {hardware.source})"]
    lines += [f"  {_gpu(gpu)}" for gpu in hardware.gpus]
    lines += [f"  note: {note}" for note in hardware.notes]
    lines += [
        f"Driver: {hardware.driver_version or _UNKNOWN} (CUDA up to {hardware.cuda_version or _UNKNOWN})",
        f"CPUs: {_cpus(hardware)}",
        f"Memory: {_memory(hardware)}",
        f"Shared memory: {_gib(hardware.shm_free_bytes)} of {_gib(hardware.shm_bytes)} free",
    ]
    return "\n".join(lines)


def name_machine(hardware: Hardware, devices: Sequence[Gpu]) -> str:
    """Return one line that is equal for machines of a kind: "8 × NVIDIA H200, CPUs: 16 (x86_64)"."""
    kinds = Counter(" ".join(_kind(gpu)) for gpu in devices)
    return ", ".join([*(f"{count} × {kind}" for kind, count in kinds.items()), f"CPUs: {_cpus(hardware)}"])


def _kind(gpu: Gpu) -> tuple[str, ...]:
    """Return (GPU name,) or (GPU name, MIG profile), which GPUs of one kind share."""
    name = gpu.name or "unknown GPU"
    return (name, gpu.mig.profile or "MIG") if gpu.mig else (name,)


def _gpu(gpu: Gpu) -> str:
    """Return one line of text about a GPU."""
    facts = [
        f"[{gpu.pci_id or _UNKNOWN}] ({gpu.index}) {gpu.name or 'unknown GPU'}",
        f"MIG {gpu.mig.profile or _UNKNOWN}" if gpu.mig else "",
        _gpu_memory(gpu),
        f"compute {'.'.join(map(str, gpu.compute_capability)) if gpu.compute_capability else _UNKNOWN}",
        "" if gpu.utilization_percent is None else f"{gpu.utilization_percent}% busy",
        gpu.uuid or "",
        gpu.pci_address or "",
    ]
    return ", ".join(fact for fact in facts if fact)


def _gpu_memory(gpu: Gpu) -> str:
    """Return a GPU's total and free memory as text."""
    if gpu.memory_total_bytes is None:
        return "shares the host's memory" if gpu.unified_memory else "memory unknown"
    return f"{_gib(gpu.memory_free_bytes)} of {_gib(gpu.memory_total_bytes)} free"


def _cpus(hardware: Hardware) -> str:
    """Return the number of CPUs and their limit as text."""
    quota = "" if hardware.cpu_quota is None else f", limited to {hardware.cpu_quota:g}"
    return f"{hardware.cpu_count or _UNKNOWN} ({hardware.cpu_arch or _UNKNOWN}){quota}"


def _memory(hardware: Hardware) -> str:
    """Return the host's memory and its limit as text."""
    limit = "" if hardware.memory_limit_bytes is None else f", limited to {_gib(hardware.memory_limit_bytes)}"
    available, total = _gib(hardware.host_memory_available_bytes), _gib(hardware.host_memory_bytes)
    return f"{available} of {total} available{limit}"


def _gib(size_bytes: int | None) -> str:
    """Return bytes as text in GiB ("79.6 GiB"); "unknown" for None."""
    return _UNKNOWN if size_bytes is None else f"{size_bytes / GIB:.1f} GiB"
