"""The engine's method, the project's precision, groups and blocks of a quantized checkpoint."""

from typing import Any

import pytest

from nim.models.config.interpret_config import read_model
from nim.models.config.model_config import model_config
from nim.models.quantization.read_quantization import read_quantization
from nim.models.types import Quantization

MODELOPT = {"name": "modelopt"}


def quantized(quantization: dict[str, Any], **config: Any) -> Quantization:
    found = read_quantization(model_config({"quantization_config": quantization, **config}))
    assert found is not None
    return found


def weights(bits: int, kind: str, **more: Any) -> dict[str, Any]:
    return {"group_0": {"weights": {"num_bits": bits, "type": kind, **more}, "input_activations": None}}


@pytest.mark.parametrize(
    ("quantization", "method", "precision"),
    [
        ({"quant_method": "fp8"}, "fp8", "fp8"),
        ({"quant_method": "mxfp4"}, "mxfp4", "mxfp4"),
        ({"quant_method": "mxfp8"}, "mxfp8", "mxfp8"),
        ({"quant_method": "gptq", "bits": 8}, "auto_gptq", "int8"),
        ({"quant_method": "awq", "bits": 4}, "auto_awq", "int4"),
        ({"quant_method": "auto-round", "bits": 4}, "inc", "int4"),
        ({"quant_method": "experts_int8"}, "experts_int8", "int8"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes", "int4"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "modelopt_fp4", "nvfp4"),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, "modelopt", "fp8"),
        ({"quant_method": "modelopt", "quant_algo": "MXFP8"}, "modelopt_mxfp8", "mxfp8"),
        ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp8_e4m3"}}}, "quark", "fp8"),
        ({"quant_method": "of tomorrow"}, "of tomorrow", None),
    ],
)
def test_method_and_precision(quantization: dict[str, Any], method: str, precision: str | None) -> None:
    found = quantized(quantization)
    assert (found.method, found.precision) == (method, precision)


@pytest.mark.parametrize(
    ("groups", "shape", "precision"),
    [
        (weights(4, "int"), "pack-quantized", "int4"),
        (weights(8, "int"), "pack-quantized", "int8"),
        (weights(8, "int"), "int-quantized", "int8"),
        (weights(8, "float"), "float-quantized", "fp8"),
        (weights(4, "float", group_size=16), "nvfp4-pack-quantized", "nvfp4"),
        (weights(4, "float", group_size=32), "mxfp4-pack-quantized", "mxfp4"),
        (None, "nvfp4-pack-quantized", "nvfp4"),
        (None, "int-quantized", "int8"),
    ],
)
def test_bits_and_type_of_compressed_tensors(groups: Any, shape: str, precision: str) -> None:
    quantization = {"quant_method": "compressed-tensors", "format": shape, "config_groups": groups}
    assert quantized(quantization).precision == precision


def test_file_of_modelopt_beside_the_configuration() -> None:
    inner = {
        "quant_algo": "NVFP4",
        "kv_cache_quant_algo": "FP8",
        "group_size": 16,
        "exclude_modules": ["lm_head"],
    }
    beside = {"producer": MODELOPT, "quantization": inner}
    assert read_quantization(model_config({}, hf_quant_config=beside)) == Quantization(
        method="modelopt_fp4",
        precision="nvfp4",
        bits=4,
        group_size=16,
        ignored=("lm_head",),
        kv_cache_dtype="fp8_e4m3",
    )


def test_mixture_is_named_after_its_narrowest_part() -> None:
    layers = {"a": {"quant_algo": "FP8"}, "b": {"quant_algo": "NVFP4"}}
    found = quantized(
        {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": layers}
    )
    assert (found.method, found.precision) == ("modelopt_mixed", "nvfp4")


@pytest.mark.parametrize(
    ("quantization", "model", "method"),
    [
        ({"quant_method": "mxfp4"}, {"model_type": "gpt_oss"}, "gpt_oss_mxfp4"),
        ({"quant_method": "fp8"}, {"model_type": "deepseek_v4"}, "deepseek_v4_fp8"),
        (
            {"quant_method": "compressed-tensors", "format": "mxfp4-pack-quantized"},
            {"architectures": ["KimiK3ForConditionalGeneration"]},
            "mxfp4",
        ),
    ],
)
def test_families_with_a_method_of_their_own(
    quantization: dict[str, Any], model: dict[str, Any], method: str
) -> None:
    assert quantized(quantization, **model).method == method


def test_groups_and_blocks() -> None:
    assert quantized({"quant_method": "gptq", "bits": 4, "group_size": 128}).group_size == 128
    assert quantized({"quant_method": "gptq", "bits": 4, "group_size": -1}).group_size is None
    assert quantized({"quant_method": "fp8", "weight_block_size": [128, 64]}).block == (128, 64)


def test_kv_cache_of_compressed_tensors_is_eight_bits() -> None:
    scheme = {"num_bits": 8, "type": "float"}
    quantization = {"quant_method": "compressed-tensors", "kv_cache_scheme": scheme}
    assert quantized(quantization).kv_cache_dtype == "fp8"
    assert quantized({**quantization, "kv_cache_scheme": None}).kv_cache_dtype is None


def test_file_without_a_producer_is_not_known_for_quantized() -> None:
    found = read_quantization(model_config({}, hf_quant_config={"quantization": {"quant_algo": "NVFP4"}}))
    assert found is not None
    assert (found.method, found.precision) == (None, "nvfp4")


@pytest.mark.parametrize(
    ("config", "precision"),
    [
        ({"dtype": "float16"}, "fp16"),
        ({"torch_dtype": "float32"}, "bf16"),
        ({"torch_dtype": "torch.bfloat16"}, "bf16"),
        ({"text_config": {"dtype": "bfloat16"}}, "bf16"),
        ({"torch_dtype": None}, None),
        ({}, None),
    ],
)
def test_precision_without_quantization_is_the_data_type(
    config: dict[str, Any], precision: str | None
) -> None:
    assert read_model(model_config(config)).precision == precision
