"""Defaults on a CPU that vLLM would derive from the whole machine, derived from this service's share."""

from collections.abc import Collection, Iterator

from nim.hardware import Hardware
from nim.hardware.types import GIB
from nim.options.option_layers import Entry
from nim.selection.select import Selection
from nim.value_origins import Layer, Origin

KV_CACHE = "VLLM_CPU_KVCACHE_SPACE"
SIZES = frozenset({KV_CACHE, "kv_cache_memory_bytes", "gpu_memory_utilization"})
PROGRAMS_BYTES = 3 * GIB
"""What the engine's processes and ours take without weights and cache: 2.3 GB were measured."""


def cpu_memory_entries(selection: Selection, hardware: Hardware, said: Collection[str]) -> Iterator[Entry]:
    """Yield the Entry of the KV cache's size for a CPU profile, unless `said` has a size."""
    if selection.profile.on_cpu and not SIZES & {*said}:
        yield from _cache(selection, hardware)


def cpu_compile_entries(selection: Selection, *, can_compile: bool) -> Iterator[Entry]:
    """Yield Entries for how a CPU profile compiles, eager mode without a compiler; nothing for a GPU's.

    vLLM 0.32 saves compiled graphs on a CPU but cannot load them ("load failure" in its log): it would save
    them and compile again at each start. Without them, it takes what Inductor has in its own cache.
    """
    if not selection.profile.on_cpu:
        return
    if can_compile:
        yield _derived("VLLM_USE_AOT_COMPILE", "0", "vLLM cannot load what it saves on a CPU")
    else:
        yield _derived("enforce_eager", True, "there is no C++ compiler, which compiling for a CPU needs")


def _cache(selection: Selection, hardware: Hardware) -> Iterator[Entry]:
    """Yield the Entry of VLLM_CPU_KVCACHE_SPACE: half of the memory the weights leave; nothing if unknown.

    vLLM would take nearly all of the machine's, despite a limit. More if the context needs more, since the
    engine does not start with less.
    """
    sizes = {"what is free": hardware.host_memory_available_bytes, "the limit": hardware.memory_limit_bytes}
    known = [(size, name) for name, size in sizes.items() if size is not None]
    if not known:
        return
    room, name = min(known)
    size = selection.estimate
    left = room - (size.weights_bytes or 0)
    half, most = (left - PROGRAMS_BYTES) // 2 // GIB, (left - size.workspace_bytes) // GIB
    needed = min(-(-size.context_bytes // GIB), most)
    why = f"half of what the weights leave of {room / GIB:.1f} GiB, {name}"
    if needed > half:
        length = size.max_model_len
        why = f"what a context of {length} tokens takes, of {room / GIB:.1f} GiB, {name}"
    yield _derived(KV_CACHE, str(max(half, needed, 1)), why)


def _derived(name: str, value: object, place: str) -> Entry:
    """Return an Entry of the derived layer whose origin is the reason `place`."""
    return Entry(name=name, value=value, origin=Origin(layer=Layer.DERIVED, place=place))
