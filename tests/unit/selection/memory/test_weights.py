"""The weights on a rank: split, quantized at load, offloaded, or in another type."""

from typing import Any

import pytest

from nim.errors import ProfileError
from nim.hardware.types import GIB
from tests.unit.selection.machines import machine, wishing
from tests.unit.selection.models import GB, LLAMA_8B, LLAMA_70B, SIZES, brought

SHORT: dict[str, Any] = {"max_model_len": 8192}
MIXTURE = LLAMA_8B | {
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "hidden_size": 4096,
    "num_hidden_layers": 94,
    "num_attention_heads": 64,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "moe_intermediate_size": 1536,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "decoder_sparse_step": 1,
    "vocab_size": 151936,
}


def weights(config: dict[str, Any], gpus: str, size: int | None = None, **options: Any) -> float:
    found = brought(config, machine(gpus), wishing(**SHORT, **options), size=size).estimate.weights_bytes
    assert found is not None
    return found / GB


def test_weights_of_a_rank() -> None:
    assert weights(LLAMA_8B, "1xH200") == pytest.approx(16.06, rel=0.01)
    assert weights(LLAMA_8B, "8xH200", tensor_parallel_size=8) == pytest.approx(16.06 / 8, rel=0.01)
    assert weights(LLAMA_8B, "4xH200", tensor_parallel_size=2, pipeline_parallel_size=2) == pytest.approx(
        16.06 / 4, rel=0.01
    )


@pytest.mark.parametrize("method", ["fp8", "fp8_per_tensor", "mxfp8"])
def test_quantized_while_it_is_loaded(method: str) -> None:
    """Linear layers take a byte; the vocabulary stays in 16 bits. 70B then goes into one H200."""
    assert weights(LLAMA_70B, "1xH200", SIZES["70B"], quantization=method) == pytest.approx(73, rel=0.04)
    with pytest.raises(ProfileError, match=r"found 138\.7 GB"):
        brought(LLAMA_70B, machine("1xH200"), wishing(**SHORT), size=SIZES["70B"])


def test_method_whose_size_is_not_known_refuses_nothing() -> None:
    selection = brought(
        LLAMA_70B, machine("1xH100"), wishing(quantization="torchao", **SHORT), size=SIZES["70B"]
    )
    assert selection.estimate.weights_bytes is None
    assert "the size of the weights" in selection.estimate.unknown


def test_method_of_the_checkpoint_itself_changes_nothing() -> None:
    config = LLAMA_8B | {"quantization_config": {"quant_method": "fp8", "activation_scheme": "dynamic"}}
    assert weights(config, "1xH100", quantization="fp8") == weights(config, "1xH100")


def test_weights_served_in_32_bits_take_twice_as_much() -> None:
    assert weights(LLAMA_8B, "1xH100", dtype="float32") == pytest.approx(32.1, rel=0.01)
    assert weights(LLAMA_8B, "1xH100", SIZES["8B"], dtype="float") == pytest.approx(32.1, rel=0.01)


def test_old_gpu_that_has_to_serve_in_32_bits() -> None:
    """Gemma is not served in float16, and a T4 has no bfloat16."""
    gemma = LLAMA_8B | {"model_type": "gemma3_text", "num_hidden_layers": 4}
    assert weights(gemma, "1xT4") == pytest.approx(2 * weights(gemma, "1xL4"), rel=0.01)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"cpu_offload_gb": 10.0}, 16.06 - 10 * GIB / GB),
        ({"cpu_offload_gb": 100}, 0.0),
        ({"offload_group_size": 4, "offload_num_in_group": 1}, 16.06 * 3 / 4),
        ({"offload_group_size": 4, "cpu_offload_gb": 1}, 16.06 * 3 / 4),
        ({"offload_group_size": 4, "cpu_offload_gb": 1, "offload_backend": "uva"}, 16.06 - GIB / GB),
    ],
)
def test_weights_that_the_host_keeps(options: dict[str, Any], kept: float) -> None:
    assert weights(LLAMA_8B, "1xL4", **options) == pytest.approx(kept, rel=0.01, abs=0.01)


def test_offload_is_for_each_gpu() -> None:
    wishes = wishing(cpu_offload_gb=40, tensor_parallel_size=2, **SHORT)
    assert brought(LLAMA_70B, machine("2xL40S"), wishes, size=SIZES["70B"]).devices
    with pytest.raises(ProfileError, match="on each GPU"):
        brought(LLAMA_70B, machine("2xL40S"), wishing(tensor_parallel_size=2, **SHORT), size=SIZES["70B"])


def test_offload_that_the_host_does_not_hold_is_warned_of() -> None:
    from dataclasses import replace

    hardware = replace(machine("2xL40S"), host_memory_available_bytes=64 * GB)
    wishes = wishing(cpu_offload_gb=40, tensor_parallel_size=2, **SHORT)
    (line,) = brought(LLAMA_70B, hardware, wishes, size=SIZES["70B"]).warnings
    assert line.startswith("--cpu-offload-gb (NIM_CPU_OFFLOAD_GB) takes 85.9 GB for 2 GPUs")


@pytest.mark.parametrize("expert", [True, False])
def test_experts_are_shared_out_to_all_replicas(expert: bool) -> None:
    """Whole ones with expert parallelism, parts of each without; what is not an expert each replica has."""
    alone = weights(MIXTURE, "8xH200", tensor_parallel_size=8, enable_expert_parallel=expert)
    replicas = weights(
        MIXTURE, "8xH200", tensor_parallel_size=1, data_parallel_size=8, enable_expert_parallel=expert
    )
    assert alone == pytest.approx(470.2 / 8, rel=0.01)
    assert alone < replicas < 2 * alone


def test_replicas_of_a_dense_model_are_whole() -> None:
    assert weights(LLAMA_8B, "8xH200", data_parallel_size=8) == pytest.approx(16.06, rel=0.01)


def test_files_that_hold_something_else_are_believed() -> None:
    """What a configuration does not say: the files are in four bits, say. 32 bits are served in 16."""
    assert weights(LLAMA_8B, "2xH100", 5_000_000_000, tensor_parallel_size=2) == pytest.approx(2.5, rel=0.01)
    assert weights(LLAMA_8B, "1xH200", 20_000_000_000) == pytest.approx(20.0, rel=0.01)
    wide = LLAMA_8B | {"torch_dtype": "float32"}
    assert weights(wide, "1xH200", SIZES["8B"]) == pytest.approx(16.06, rel=0.01)
    assert weights(wide, "1xH200", SIZES["8B"], dtype="float32") == pytest.approx(32.12, rel=0.01)
