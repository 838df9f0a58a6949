"""Detect this machine's hardware: GPUs visible to the engine, memory, CPUs."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from nim.hardware.nvml_inventory import Inventory, load_nvml, take_inventory
from nim.hardware.read_host_limits import read_host
from nim.hardware.select_visible_gpus import hiding_variable, visible_gpus
from nim.hardware.types import Hardware, Host


def detect_hardware(environ: Mapping[str, str], *, root: Path = Path("/")) -> Hardware:
    """Return this machine's `Hardware` (NVML, /proc, /sys) that an engine under `environ` sees.

    HardwareError where the environment names GPUs that are not there, or the driver is broken.
    """
    host = read_host(root)
    if hiding := hiding_variable(environ):
        return join(Inventory(notes=(f"{hiding} hides every GPU",)), environ, host, source="none")
    nvml = load_nvml()
    if nvml is None:
        return join(Inventory(notes=("NVIDIA's driver is not installed here",)), environ, host, source="none")
    return join(take_inventory(nvml), environ, host, source="nvml")


def join(inventory: Inventory, environ: Mapping[str, str], host: Host, *, source: str) -> Hardware:
    """Return the `Hardware` of the inventory's GPUs that `environ` leaves visible, and of the host."""
    return Hardware(
        gpus=visible_gpus(inventory.gpus, environ, inventory.notes),
        source=source,
        driver_version=inventory.driver_version,
        cuda_version=inventory.cuda_version,
        notes=inventory.notes,
        **{field.name: getattr(host, field.name) for field in fields(Host)},
    )
