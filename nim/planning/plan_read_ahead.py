"""Decide which weights are read into the page cache while the engine starts, and how much of them."""

import re
from collections.abc import Mapping

from nim.hardware import Hardware
from nim.hardware.types import GIB
from nim.models.checkpoint.read_local_model import LocalModel
from nim.options.cpu_defaults import PROGRAMS_BYTES
from nim.plan import ReadAhead
from nim.selection.select import Selection
from nim.value_origins import Value

# Loaders that read files through the page cache. The others stream past it, or read on the GPU's behalf.
CACHING_FORMATS = frozenset({"auto", "hf", "safetensors", "mistral", "pt", "npcache", "bitsandbytes"})
# Options that take memory of the host for each GPU, in GiB.
HOST_OPTIONS = ("cpu_offload_gb", "swap_space", "kv_offloading_size")
PROCESS_BYTES = 3 * GIB
"""Host memory of one process of an engine on GPUs: an assumption, on the safe side."""
_DIGITS = re.compile(r"(\d+)")


def read_ahead_of(
    model: LocalModel | None, config: Mapping[str, Value], selection: Selection, hardware: Hardware
) -> ReadAhead | None:
    """Return the ReadAhead of a model's local weights; None without any, or if memory does not hold even one.

    Weights that are not there yet are in the page cache when they have been downloaded.
    """
    if model is None or model.weights is None or model.load_format not in CACHING_FORMATS:
        return None
    free = free_bytes(config, selection, hardware, model.weights.loaded_bytes())
    if free is None or free <= 0:
        return None
    directory = model.files.directory
    files = (str(directory / name) for name in sorted(model.weights.files, key=_in_order))
    return ReadAhead(files=tuple(files), limit_bytes=min(free, model.weights.file_bytes))


def free_bytes(
    config: Mapping[str, Value], selection: Selection, hardware: Hardware, weights_bytes: int
) -> int | None:
    """Return the bytes of host memory that the engine leaves free; None if the memory is not known."""
    known = [
        size
        for size in (hardware.host_memory_available_bytes, hardware.memory_limit_bytes)
        if size is not None
    ]
    if not known:
        return None
    if selection.profile.on_cpu:
        return min(known) - PROGRAMS_BYTES - weights_bytes  # the cache is allocated when they are loaded
    for_each = PROCESS_BYTES + sum(_gib(config, name) for name in HOST_OPTIONS)
    return min(known) - PROCESS_BYTES - for_each * len(selection.devices)


def _gib(config: Mapping[str, Value], name: str) -> int:
    """Return the bytes of an option given in GiB; 0 if it is not set."""
    try:
        return round(float(config[name].value) * GIB)
    except (KeyError, TypeError, ValueError, OverflowError):
        return 0


def _in_order(name: str) -> list[tuple[int, str]]:
    """Return a sort key that orders file names as vLLM does: numbers in them by value."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in _DIGITS.split(name)]
