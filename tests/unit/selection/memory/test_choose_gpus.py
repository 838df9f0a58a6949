"""Which GPUs are used if they are of several kinds or used by others."""

from dataclasses import replace
from typing import Any

import pytest

from nim.errors import ProfileError
from nim.hardware.types import Hardware
from nim.selection.select import select
from tests.unit.selection.machines import busy, machine, made, shipped, unmeasured, wishing
from tests.unit.selection.models import GB, LLAMA_8B, LLAMA_70B, SIZES, brought

SHORT: dict[str, Any] = {"max_model_len": 8192}


def indices(hardware: Hardware, size: str, **options: Any) -> list[int]:
    config = LLAMA_8B if size == "8B" else LLAMA_70B
    selection = brought(config, hardware, wishing(**SHORT, **options), size=SIZES[size])
    return [gpu.index for gpu in selection.devices]


def test_kinds_run_together_where_it_takes_both() -> None:
    mixed = machine("1xH100,1xA100")
    selection = brought(LLAMA_70B, mixed, wishing(**SHORT), size=SIZES["70B"])
    assert (selection.chosen.label, len(selection.devices)) == ("vllm-bf16-tp2-pp1", 2)
    both = "1 × NVIDIA H100 80GB HBM3 with 1 × NVIDIA A100-SXM4-80GB"
    assert selection.warnings == (f"the GPUs are of different kinds: {both} run at the pace of the slowest",)


def test_one_kind_is_enough_where_it_does() -> None:
    assert indices(machine("2xA100,1xH100"), "70B") == [0, 1]
    assert indices(machine("1xA100,1xH100"), "8B") == [1]


def test_requested_combination_of_gpu_kinds_runs() -> None:
    assert indices(machine("1xRTX 3090,1xRTX 4090"), "8B", tensor_parallel_size=2) == [0, 1]
    assert indices(machine("1xRTX 3090,1xRTX 4090"), "8B", data_parallel_size=2) == [0, 1]


def test_smaller_kind_has_to_hold_its_rank() -> None:
    with pytest.raises(ProfileError, match="2 GPUs"):
        indices(machine("1xH200,1xL4"), "70B", tensor_parallel_size=2)


def test_kinds_that_cannot_calculate_so_are_left_out() -> None:
    manifest = made('precision: mxfp8, tp: "2"')
    assert len(select(manifest, machine("1xH100,1xA100,1xT4"), wishing(**SHORT)).devices) == 2
    with pytest.raises(ProfileError, match="2 GPUs"):
        select(manifest, machine("1xH100,1xT4"), wishing(**SHORT))


def test_mig_devices_do_not_join_whole_gpus() -> None:
    from nim.hardware.types import Mig

    hardware = machine("2xH100,1xA100")
    gpus = (replace(hardware.gpus[0], mig=Mig(profile="3g.40gb")), *hardware.gpus[1:])
    selection = brought(LLAMA_8B, replace(hardware, gpus=gpus), wishing(tensor_parallel_size=2))
    assert [gpu.index for gpu in selection.devices] == [1, 2]


@pytest.mark.parametrize("used", [45 * GB, 64 * GB, 80 * GB])
def test_gpu_that_others_mostly_hold_is_left_alone(used: int) -> None:
    selection = brought(LLAMA_8B, busy(machine("2xH100"), 0, used), wishing(**SHORT), size=SIZES["8B"])
    assert [gpu.index for gpu in selection.devices] == [1]
    assert selection.utilization is None
    assert "other processes hold most of GPU 0" in selection.warnings[0]


def test_idle_gpus_go_before_those_that_others_use() -> None:
    """At its whole share; the other's would have lowered that of both."""
    selection = brought(LLAMA_8B, busy(machine("2xH100"), 0, 10 * GB), wishing(**SHORT), size=SIZES["8B"])
    assert ([gpu.index for gpu in selection.devices], selection.utilization) == ([1], None)


def test_gpu_that_others_use_is_taken_where_there_is_no_other() -> None:
    assert indices(busy(machine("1xH100"), 0, 45 * GB), "8B") == [0]
    assert indices(busy(machine("2xH100"), 0, 1 * GB), "70B", max_num_seqs=1) == [0, 1]


def test_idle_worse_kind_ranks_before_a_busy_better_one() -> None:
    assert indices(busy(machine("1xH200,1xA100"), 0, 100 * GB), "8B") == [1]
    assert indices(busy(machine("1xH200,1xA100"), 0, 10 * GB), "8B") == [0]


def test_share_of_the_fullest_gpu_is_the_share_of_all() -> None:
    selection = brought(LLAMA_70B, busy(machine("2xH200"), 1, 30 * GB), wishing(**SHORT), size=SIZES["70B"])
    assert len(selection.devices) == 2
    assert selection.utilization == pytest.approx((151.0 - 30.6) / 151.0, abs=0.01)


@pytest.mark.parametrize(("share", "warned"), [(1.0, True), (0.99, False), (0.98, False), (0.5, False)])
def test_share_that_cuda_does_not_leave_is_warned_of(share: float, warned: bool) -> None:
    selection = brought(LLAMA_8B, machine("1xH100"), wishing(gpu_memory_utilization=share, **SHORT))
    said = any("the engine will not start: NIM_KVCACHE_PERCENT=0.99" in line for line in selection.warnings)
    assert said == warned


def test_share_that_others_do_not_leave_is_warned_of() -> None:
    hardware = busy(machine("1xH100"), 0, 20 * GB)
    (line,) = brought(LLAMA_8B, hardware, wishing(gpu_memory_utilization=0.9, **SHORT)).warnings
    assert line.startswith("0.9 of GPU 0 (NIM_GPU_MEMORY_UTILIZATION): CUDA's own context and other")
    assert line.endswith("NIM_KVCACHE_PERCENT=0.75")


def test_share_of_a_gpu_that_is_not_measured() -> None:
    hardware = unmeasured(machine("1xH100"))
    whole = select(made("precision: bf16"), hardware, wishing(gpu_memory_utilization=1.0))
    assert any("NIM_KVCACHE_PERCENT=0.98" in line for line in whole.warnings)
    most = select(made("precision: bf16"), hardware, wishing(gpu_memory_utilization=0.9))
    assert not any("NIM_KVCACHE_PERCENT" in line for line in most.warnings)


def test_share_that_a_profile_sets_is_checked_like_a_persons() -> None:
    manifest = made("precision: bf16", more="    engine: {args: {gpu-memory-utilization: 1.0}}\n")
    assert "(profile vllm-bf16-tp1-pp1)" in select(manifest, machine("1xH100"), wishing()).warnings[0]


def test_mixed_kinds_of_a_shipped_model() -> None:
    """BF16: an A100 has no arithmetic for the FP8 profile, which one H100 does not hold with its context."""
    selection = select(shipped("meta/llama-3.3-70b-instruct"), machine("2xA100,2xH100"), wishing())
    assert {gpu.name for gpu in selection.devices} == {"NVIDIA H100 80GB HBM3"}
