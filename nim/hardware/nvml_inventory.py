"""Take inventory of the GPUs through NVML, without changing any. Unreported values are None.

`nvml` is the module pynvml, or whatever answers like it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from nim.errors import HardwareError
from nim.frozen_dataclass import frozen_dataclass
from nim.hardware.nvml_device import ask, pci_address, read_device, text
from nim.hardware.types import Gpu

_LIBRARY = "libnvidia-ml.so.1"
_WITHOUT = "CUDA_VISIBLE_DEVICES= starts without GPUs"


@frozen_dataclass
class Inventory:
    """Every device shown by NVML in PCI order; a GPU with MIG appears as its MIG devices."""

    gpus: tuple[Gpu, ...] = ()
    driver_version: str | None = None
    cuda_version: str | None = None
    notes: tuple[str, ...] = ()


def load_nvml() -> Any | None:
    """Return the module pynvml; None if the driver's library is not installed."""
    import ctypes

    try:
        ctypes.CDLL(_LIBRARY)  # tried first: importing pynvml takes longer than everything else here
    except OSError:
        return None
    import pynvml

    return pynvml


def take_inventory(nvml: Any) -> Inventory:
    """Return NVML's `Inventory`, empty if no driver is loaded; HardwareError if the driver is broken."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        if error.value in (nvml.NVML_ERROR_LIBRARY_NOT_FOUND, nvml.NVML_ERROR_DRIVER_NOT_LOADED):
            return Inventory(notes=("NVIDIA's driver is not loaded",))
        raise _broken(nvml, error) from error
    try:
        return _inventory(nvml)
    finally:
        ask(nvml, "nvmlShutdown")


def _inventory(nvml: Any) -> Inventory:
    """Return the `Inventory` of an initialised NVML."""
    handles, notes = _open_all(nvml)
    found: list[Gpu] = []
    for index, handle in enumerate(_in_pci_order(nvml, handles)):
        gpus, gpu_notes = read_device(nvml, handle, index)
        found += gpus
        notes += gpu_notes
    return Inventory(
        gpus=tuple(found),
        driver_version=text(ask(nvml, "nvmlSystemGetDriverVersion")),
        cuda_version=_cuda_version(nvml),
        notes=tuple(notes),
    )


def _open_all(nvml: Any) -> tuple[list[Any], list[str]]:
    """Return (handles of the GPUs this process may open, notes on others); HardwareError if NVML fails."""
    handles: list[Any] = []
    notes: list[str] = []
    with _refusing(nvml, "count the GPUs"):
        count = nvml.nvmlDeviceGetCount()
    for number in range(count):
        with _refusing(nvml, f"open GPU {number} of {count}"):
            try:
                handles.append(nvml.nvmlDeviceGetHandleByIndex(number))
            except nvml.NVMLError as error:
                if error.value != nvml.NVML_ERROR_NO_PERMISSION:
                    raise
                notes.append(f"NVML's GPU {number} of {count} may not be opened by this process")
    return handles, notes


def _in_pci_order(nvml: Any, handles: Sequence[Any]) -> list[Any]:
    """Return the handles as a list by PCI address; in NVML's order if an address is unknown."""
    addresses = [pci_address(nvml, handle) for handle in handles]
    if None in addresses:
        return list(handles)
    ordered = sorted(range(len(handles)), key=lambda position: (addresses[position] or "").upper())
    return [handles[position] for position in ordered]


def _cuda_version(nvml: Any) -> str | None:
    """Return the CUDA version of the loaded libcuda, such as "13.0"; None if unknown."""
    number = ask(nvml, "nvmlSystemGetCudaDriverVersion_v2")
    return f"{number // 1000}.{number % 1000 // 10}" if number else None


@contextmanager
def _refusing(nvml: Any, what: str) -> Iterator[None]:
    """Convert NVML errors raised within the `with` block to HardwareError "cannot `what`: …"."""
    try:
        yield
    except nvml.NVMLError as error:
        raise HardwareError(
            f"cannot {what}: NVML says: {error}",
            hint=f"nvidia-smi shows its state; {_WITHOUT}",
        ) from error


def _broken(nvml: Any, error: Any) -> HardwareError:
    """Return the HardwareError, not raised, for an NVML that does not start, with its cause."""
    reasons = {
        nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
            "the driver's library and its kernel module are of different versions, as after an update",
            "reboot the host, or reload the nvidia kernel modules",
        ),
        nvml.NVML_ERROR_NO_PERMISSION: (
            "this process may not open /dev/nvidiactl",
            "start the container with --gpus all",
        ),
        nvml.NVML_ERROR_UNKNOWN: (
            "the driver does not answer, as when a container has lost its GPU devices",
            "restart the container; nvidia-smi on the host",
        ),
    }
    why, hint = reasons.get(error.value, (f"NVML says: {error}", "nvidia-smi"))
    return HardwareError(f"cannot look at the GPUs: {why}", hint=f"{hint}; {_WITHOUT}")
