"""Ranks, replicas and nodes, counted as the engine counts them."""

from typing import Any

import pytest

from nim.errors import ProfileError
from nim.selection.effective_options import options_of
from nim.selection.parallel_sizes import Parallel, parallel_of
from tests.unit.selection.machines import machine, made, sliced, wishing
from tests.unit.selection.models import GB, LLAMA_8B, SIZES, brought

PROFILE = made('precision: bf16, tp: "2", pp: "3"').profiles[0]


def parallel(**options: Any) -> Parallel:
    return parallel_of(PROFILE, options_of(PROFILE, wishing(**options).options), own_sizes=True)


@pytest.mark.parametrize(
    ("options", "ranks", "here"),
    [
        ({}, 6, 6),
        ({"data_parallel_size": 4}, 24, 24),
        ({"data_parallel_size": 4, "data_parallel_size_local": 2}, 24, 12),
        ({"data_parallel_size": 4, "data_parallel_rank": 0}, 24, 6),
        ({"data_parallel_size": 4, "data_parallel_external_lb": True}, 24, 6),
        ({"data_parallel_size": 4, "nnodes": 2}, 24, 12),
        ({"prefill_context_parallel_size": 2}, 12, 12),
        ({"decode_context_parallel_size": 2}, 6, 6),
        ({"nnodes": 3}, 6, 2),
    ],
)
def test_gpus_over_all_nodes_and_here(options: dict[str, Any], ranks: int, here: int) -> None:
    found = parallel(**options)
    assert (found.ranks, found.local_ranks) == (ranks, here)


def test_experts_are_shared_by_all_replicas() -> None:
    assert parallel(data_parallel_size=4).expert_ranks == 8


def test_sizes_of_the_profiles_own_arguments() -> None:
    profile = made("precision: bf16", more="    engine: {args: {data-parallel-size: 4}}\n").profiles[0]
    assert parallel_of(profile, options_of(profile, {}), own_sizes=True).ranks == 4


@pytest.mark.parametrize(
    ("options", "label", "count"),
    [
        ({"data_parallel_size": 8}, "vllm-bf16-tp1-pp1", 8),
        ({"data_parallel_size": 4}, "vllm-bf16-tp2-pp1", 8),
        ({"data_parallel_size": 2}, "vllm-bf16-tp4-pp1", 8),
        ({"data_parallel_size": 2, "tensor_parallel_size": 1}, "vllm-bf16-tp1-pp1", 2),
        ({"data_parallel_size": 16, "data_parallel_size_local": 8}, "vllm-bf16-tp1-pp1", 8),
        ({"data_parallel_size": 16, "nnodes": 2}, "vllm-bf16-tp1-pp1", 8),
        ({"prefill_context_parallel_size": 2}, "vllm-bf16-tp4-pp1", 8),
        ({"pipeline_parallel_size": 4}, "vllm-bf16-tp2-pp4", 8),
    ],
)
def test_replicas_and_context_ranks_take_gpus(options: dict[str, Any], label: str, count: int) -> None:
    selection = brought(LLAMA_8B, machine("8xH100"), wishing(**options), size=SIZES["8B"])
    assert selection.chosen.label == label
    assert [gpu.index for gpu in selection.devices] == list(range(count))


def test_too_many_replicas_are_refused_with_the_number_that_fits() -> None:
    wishes = wishing(data_parallel_size=4, tensor_parallel_size=2)
    with pytest.raises(ProfileError, match="8 GPUs for tp2 × dp4; found 5 GPUs") as caught:
        brought(LLAMA_8B, machine("5xH100"), wishes, size=SIZES["8B"])
    assert "--data-parallel-size 2" in str(caught.value)


def test_ray_may_place_ranks_elsewhere() -> None:
    wishes = wishing(tensor_parallel_size=8, distributed_executor_backend="ray")
    assert len(brought(LLAMA_8B, machine("2xH100"), wishes).devices) == 2
    with pytest.raises(ProfileError, match="8 GPUs"):
        brought(LLAMA_8B, machine("2xH100"), wishing(tensor_parallel_size=8))


def test_layer_is_split_across_nodes_only_if_the_user_sets_it() -> None:
    """The engine takes any number of nodes that divides the ranks; slow links between them are not chosen."""
    asked = brought(LLAMA_8B, machine("4xH100"), wishing(tensor_parallel_size=8, nnodes=2))
    assert len(asked.devices) == 4
    with pytest.raises(ProfileError, match="one node"):
        brought(LLAMA_8B, machine("4xH100"), wishing(nnodes=2))
    with pytest.raises(ProfileError, match="nodes that divide its 8 GPUs"):
        brought(LLAMA_8B, machine("8xH100"), wishing(tensor_parallel_size=8, nnodes=3))


def test_replica_of_one_gpu_is_not_split_over_mig_devices() -> None:
    mig = sliced(machine("4xH100"), "3g.40gb", 40 * GB)
    with pytest.raises(ProfileError, match="whole GPUs"):
        brought(LLAMA_8B, mig, wishing(tensor_parallel_size=2), size=SIZES["8B"])
