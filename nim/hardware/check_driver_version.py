"""Check that the driver is new enough for the engine."""

from nim.errors import HardwareError
from nim.hardware.types import Hardware

_CUDA_OF_BRANCH = ((580, 13), (525, 12), (450, 11))
"""The first driver branch of each CUDA major version, newest first."""


def refuse_old_driver(hardware: Hardware, needed: int) -> None:
    """Raise HardwareError if the driver's branch is older than `needed` (580 for CUDA 13).

    Nothing is refused without a GPU, with an unknown driver, or where a forward-compatibility package already
    brings the CUDA that the branch stands for (never on GeForce, where CUDA refuses such a package).
    """
    found = _branch(hardware.driver_version)
    if not hardware.gpus or found is None or found >= needed or _compatible(hardware, needed):
        return
    cuda = _cuda_of(needed)
    wanted = f"{needed} or newer" + (f" (CUDA {cuda})" if cuda else "")
    raise HardwareError(
        f'cannot run the engine on the NVIDIA driver "{hardware.driver_version}": it needs driver {wanted}',
        hint=f"install driver branch {needed} on the host{_package(hardware, cuda)}",
    )


def _package(hardware: Hardware, cuda: int | None) -> str:
    """Return the end of the hint that names a forward-compatibility package; "" if none would help."""
    if cuda is None or _has_geforce(hardware):
        return ""
    return f", or the CUDA forward-compatibility package cuda-compat-{cuda}-0 in the container"


def _compatible(hardware: Hardware, needed: int) -> bool:
    """Return whether a forward-compatibility package is in use that provides the CUDA of `needed`."""
    major = _branch(hardware.cuda_version)
    wanted = _cuda_of(needed)
    return wanted is not None and major is not None and major >= wanted and not _has_geforce(hardware)


def _has_geforce(hardware: Hardware) -> bool:
    """Return whether one of the GPUs is a GeForce, which forward compatibility does not support."""
    return any("GeForce" in (gpu.name or "") for gpu in hardware.gpus)


def _cuda_of(branch: int) -> int | None:
    """Return the newest CUDA major version that a driver branch supports; None if unknown."""
    return next((cuda for first, cuda in _CUDA_OF_BRANCH if branch >= first), None)


def _branch(version: str | None) -> int | None:
    """Return the number before a version's first dot; None if there is none."""
    head = (version or "").partition(".")[0]
    return int(head) if head.isascii() and head.isdigit() else None
