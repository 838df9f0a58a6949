"""The KV cache of an engine on a CPU: half of what the weights leave, or what the context takes."""

from dataclasses import replace

import pytest

from nim.hardware.types import GIB
from nim.options.cpu_defaults import KV_CACHE, cpu_memory_entries
from nim.options.option_layers import Entry
from nim.selection.explain_rejected_profiles import NoProfileFits
from tests.unit.selection.machines import NOTHING, wishing
from tests.unit.selection.models import LLAMA_8B, SIZES, brought


def cache_on(memory: int, **options: object) -> Entry:
    """Return the cache of Llama 8B (15 GiB of weights) on a host with so many GiB."""
    hardware = replace(NOTHING, host_memory_available_bytes=memory * GIB)
    selection = brought(LLAMA_8B, hardware, wishing(**options), size=SIZES["8B"])  # type: ignore[arg-type]
    (entry,) = cpu_memory_entries(selection, hardware, ())
    assert entry.name == KV_CACHE
    return entry


@pytest.mark.parametrize(
    ("memory", "length", "size", "why"),
    [
        (64, None, "23", "half of what the weights leave"),
        (40, None, "17", "what a context of 131072 tokens takes"),
        (33, None, "17", "what a context of 131072 tokens takes"),
        (40, 8192, "11", "half of what the weights leave"),
        (20, 8192, "2", "what a context of 8192 tokens takes"),
        (20, 16384, "3", "what a context of 16384 tokens takes"),
    ],
)
def test_cache_holds_the_context(memory: int, length: int | None, size: str, why: str) -> None:
    """The engine does not start with a cache that is smaller than one sequence and a block."""
    entry = cache_on(memory, **({"max_model_len": length} if length else {}))
    assert entry.value == size
    assert entry.origin.place.startswith(why)


def test_context_that_the_host_does_not_hold_is_refused_with_one_that_it_does() -> None:
    with pytest.raises(NoProfileFits, match="of the host's memory for a context of 131072 tokens") as caught:
        cache_on(24)
    assert caught.value.hint is not None
    length = int(caught.value.hint.removeprefix("NIM_MAX_MODEL_LEN="))
    assert int(cache_on(24, max_model_len=length).value) * GIB >= length * 131072 - GIB


def test_cache_of_a_set_size_has_to_hold_the_context() -> None:
    hardware = replace(NOTHING, host_memory_available_bytes=64 * GIB)
    wishes = wishing(VLLM_CPU_KVCACHE_SPACE="4")
    with pytest.raises(NoProfileFits, match="of cache for a context of 131072 tokens"):
        brought(LLAMA_8B, hardware, wishes, size=SIZES["8B"])
    shorter = wishing(VLLM_CPU_KVCACHE_SPACE="4", max_model_len=32752)
    assert brought(LLAMA_8B, hardware, shorter, size=SIZES["8B"]).profile.on_cpu
