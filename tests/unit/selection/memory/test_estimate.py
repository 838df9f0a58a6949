"""The memory that a profile takes, compared with what is available."""

from dataclasses import replace
from typing import Any

import pytest

from nim.hardware.types import GB, Hardware
from nim.manifest import Manifest, Profile
from nim.plan import Refusal
from nim.selection.effective_options import options_of
from nim.selection.explain_rejected_profiles import NoProfileFits
from nim.selection.explain_selection import explain
from nim.selection.fit_types import Wishes
from nim.selection.memory import Estimate, estimate
from nim.selection.memory.estimate_inputs import DraftModel, Start
from nim.selection.memory.kv_cache_cost import stated_reading
from nim.selection.parallel_sizes import parallel_of
from nim.selection.select import select
from tests.unit.selection.machines import NOTHING, busy, machine, made, shipped, wishing

LLAMA = shipped("meta/llama-3.1-8b-instruct")
ULTRA = shipped("nvidia/nemotron-3-ultra-550b-a55b")
BF16 = ("precision=bf16",)


def nearest(hardware: Hardware, wishes: Wishes) -> Refusal:
    with pytest.raises(NoProfileFits) as caught:
        select(LLAMA, hardware, wishes)
    return caught.value.refused[0]


def estimated(profile: Profile, manifest: Manifest, **options: Any) -> Estimate:
    told = options_of(profile, wishing(**options).options)
    parallel = parallel_of(profile, told, own_sizes=False)
    return estimate(Start(profile=profile, options=told, parallel=parallel, model=manifest.model))


def token_bytes(found: Estimate) -> float | None:
    """What a token costs, on average over a block."""
    if found.cost is None:
        return None
    return (found.cost.bytes_for(1024) - found.cost.bytes_for(512)) / 512


def test_parameters_times_bytes_by_gpus_and_one_context() -> None:
    sizes = {profile.label: estimated(profile, LLAMA) for profile in LLAMA.profiles}
    bf16 = sizes["vllm-bf16-tp2-pp1"]
    assert bf16.weights_bytes == pytest.approx(8.05e9)
    assert token_bytes(bf16) == 2 * 32 * 4 * 128 * 2
    assert bf16.need_bytes == pytest.approx(8.05e9 + 2e9 + 131072 * 65536, abs=1e8)
    assert token_bytes(sizes["vllm-fp8-tp2-pp1"]) == 65536 / 2
    assert bf16.unknown == ()


def test_shorter_context_takes_less() -> None:
    profile = LLAMA.profiles[0]
    long, short = estimated(profile, LLAMA), estimated(profile, LLAMA, max_model_len=8192)
    assert long.need_bytes is not None
    assert short.need_bytes is not None
    assert long.need_bytes - short.need_bytes == (131072 - 8192) * 131072


def test_more_gpus_than_heads_share_no_further() -> None:
    profile = made('precision: bf16, tp: "16"').profiles[0]
    assert token_bytes(estimated(profile, LLAMA)) == 2 * 32 * 1 * 128 * 2


@pytest.mark.parametrize(
    ("cache", "size"),
    [("auto", 2), ("fp8_e5m2", 1), ("nvfp4", 0.5625), ("bfloat16", 2), ("of-tomorrow", None)],
)
def test_cache_in_another_precision(cache: str, size: float | None) -> None:
    manifest = made("precision: bf16", more=f"    engine: {{args: {{kv-cache-dtype: {cache}}}}}\n")
    found = estimated(manifest.profiles[0], manifest)
    assert token_bytes(found) == (None if size is None else 65536 * size)
    assert bool(found.unknown) == (size is None)


def test_unknown_sizes_are_reported() -> None:
    bare = "model: {name: acme/rocket, source: hf://acme/rocket}\n"
    manifest = made("precision: bf16", head=bare)
    found = estimated(manifest.profiles[0], manifest)
    assert (found.weights_bytes, found.need_bytes) == (None, None)
    assert found.unknown == ("the size of the weights", "what a token of context costs")
    assert "which is unknown" in explain(select(manifest, machine("1xT4,1xH100"), wishing()))


def test_low_memory_names_the_context_that_fits() -> None:
    refused = nearest(machine("1xA10G"), wishing(tags=BF16))
    assert refused.label == "vllm-bf16-tp1-pp1"
    assert refused.needed == "35.3 GB for a context of 131072 tokens"
    assert refused.found == "22.2 GB to be had"
    assert refused.change is not None
    variable, _, length = refused.change.partition("=")
    assert variable == "NIM_MAX_MODEL_LEN"
    shorter = wishing(max_model_len=int(length), tags=BF16)
    assert select(LLAMA, machine("1xA10G"), shorter).chosen.label == "vllm-bf16-tp1-pp1"
    longer = wishing(max_model_len=int(length) + 1024, tags=BF16)
    assert nearest(machine("1xA10G"), longer).change == refused.change


def test_busy_gpu_is_distinguished_from_one_that_is_too_small() -> None:
    used = busy(machine("1xA100"), 0, 78 * GB)
    refused = nearest(used, wishing(tags=BF16))
    assert refused.change == "end what else uses the GPU (nvidia-smi)"
    tiny = nearest(machine("1xT4"), wishing(emulation=True, tags=BF16))
    assert "nvidia-smi" not in (tiny.change or "")


def test_engine_gets_what_is_free_on_a_gpu_that_is_shared() -> None:
    selection = select(LLAMA, busy(machine("1xA100"), 0, 20 * GB), wishing())
    assert selection.utilization is not None
    total = selection.devices[0].memory_total_bytes or 0
    assert selection.utilization * total <= total - 20.6 * GB
    assert selection.utilization == pytest.approx(0.760, abs=0.001)


def test_idle_gpu_needs_no_share() -> None:
    assert select(LLAMA, machine("1xA100"), wishing()).utilization is None


def test_configured_share_is_kept() -> None:
    used = busy(machine("1xA100"), 0, 20 * GB)
    assert select(LLAMA, used, wishing(gpu_memory_utilization=0.7)).utilization is None
    refused = nearest(used, wishing(gpu_memory_utilization=0.3, max_model_len=131072, tags=BF16))
    assert refused.found == "25.8 GB to be had"


@pytest.mark.parametrize(
    ("gpus", "label"),
    [
        ("8xH200", "vllm-nvidia-h200-bf16-tp8-pp1"),
        ("4xB300", "vllm-nvidia-b300-bf16-tp4-pp1"),
        ("4xGB300", "vllm-nvidia-gb300-bf16-tp4-pp1"),
    ],
)
def test_rows_that_fill_their_gpus_get_a_larger_share(gpus: str, label: str) -> None:
    selection = select(ULTRA, machine(gpus), wishing(tags=BF16))
    assert selection.chosen.label == label
    assert selection.utilization == 0.98


def test_estimate_does_not_overrule_a_person() -> None:
    """The weights go in; that the context may not is a warning when the profile was asked for by name."""
    selection = select(LLAMA, machine("1xA10G"), wishing(profile="vllm-bf16-tp1-pp1"))
    assert selection.chosen.label == "vllm-bf16-tp1-pp1"
    assert "NIM_MAX_MODEL_LEN=" in selection.warnings[0]


def test_weights_that_seem_too_large_do_not_overrule_a_person_either() -> None:
    """Their size is arithmetic, too: files may be counted that are not loaded."""
    wishes = wishing(profile="vllm-bf16-tp1-pp1", gpu_memory_utilization=0.4)
    (warning,) = select(LLAMA, machine("1xA10G"), wishes).warnings
    assert warning == "by estimate the profile needs 18.1 GB, and 9.7 GB to be had"


def test_gpu_that_uses_host_memory_leaves_a_reserve() -> None:
    """GB10: the GPU has no memory of its own; the host's is what there is, less a reserve."""
    spark = machine("1xGB10")
    assert select(LLAMA, spark, wishing()).chosen.label == "vllm-nvfp4-tp1-pp1"
    full = replace(spark, host_memory_available_bytes=20 * GB)
    refused = nearest(full, wishing())
    assert refused.found == "4.0 GB to be had"


def test_cpu_profile_counts_the_hosts_memory() -> None:
    small = replace(NOTHING, host_memory_available_bytes=8 * GB)
    refused = nearest(small, wishing())
    assert (refused.label, refused.needed) == ("vllm-cpu-bf16-tp1-pp1", "17.1 GB of the host's memory")
    limited = replace(NOTHING, memory_limit_bytes=8 * GB)
    assert nearest(limited, wishing()).found == "8.0 GB to be had"
    unknown = select(LLAMA, replace(NOTHING, host_memory_available_bytes=None), wishing())
    assert "the memory of the host is unknown" in unknown.warnings[0]


def test_a_draft_model_takes_its_share_of_each_gpu() -> None:
    profile = next(each for each in LLAMA.profiles if each.label == "vllm-bf16-tp2-pp1")
    told = options_of(profile, wishing().options)
    start = Start(
        profile=profile, options=told, parallel=parallel_of(profile, told, own_sizes=False), model=LLAMA.model
    )
    alone, drafted = estimate(start), estimate(replace(start, draft=DraftModel(weights_bytes=10**9)))
    assert alone.need_bytes is not None
    assert drafted.need_bytes == alone.need_bytes + 10**9 // 2


def test_the_layers_of_a_draft_model_have_caches_too() -> None:
    profile = next(each for each in LLAMA.profiles if each.label == "vllm-bf16-tp2-pp1")
    told = options_of(profile, wishing().options)
    start = Start(
        profile=profile, options=told, parallel=parallel_of(profile, told, own_sizes=False), model=LLAMA.model
    )
    assert LLAMA.model
    assert LLAMA.model.kv_cache
    reading = stated_reading(LLAMA.model.kv_cache)
    assert reading.layers
    draft = DraftModel(weights_bytes=0, reading=replace(reading, layers=reading.layers[:1]))
    alone, drafted = estimate(start), estimate(replace(start, draft=draft))
    assert alone.cost
    assert drafted.cost
    cache, more = alone.cost.sequence_bytes(4096), drafted.cost.sequence_bytes(4096)
    assert cache
    assert more == cache // len(reading.layers) * (len(reading.layers) + 1)
