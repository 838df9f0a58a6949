"""The format of each module, by quantization method."""

from typing import Any

import pytest

from nim.models.config.model_config import model_config
from nim.models.quantization.read_quantization import read_quantization
from nim.models.weights.storage import formats
from nim.models.weights.storage.bits_and_scales import Rule, Storage, plain
from nim.models.weights.storage.formats_by_module import Formats
from nim.models.weights.storage.quantization_methods import read_formats
from nim.models.weights.tensor_parallel_split import Share
from nim.models.weights.weight_matrices import Experts, Vocabulary, column
from tests.unit.models.weights.configs import DENSE

DOWN = column("mlp.down_proj", 1024, 1024)
ATTENTION = column("self_attn.qkv_proj", 1024, 1024)
EXPERTS = Experts(name="mlp.experts", count=8, hidden=1024, inner=Share(512))
HEAD = Vocabulary(name="lm_head", rows=32000, columns=1024)
BF16 = plain(16)


def read(quantization: dict[str, Any] | None, dtype: str = "bfloat16", **fields: Any) -> Formats | None:
    config = model_config({**DENSE, "quantization_config": quantization, **fields})
    return read_formats(config, read_quantization(config), dtype=dtype)


def stored(quantization: dict[str, Any], **fields: Any) -> list[Storage]:
    found = read(quantization, **fields)
    assert found is not None
    return [found.of(DOWN, 0), found.of(ATTENTION, 0), found.of(EXPERTS, 0), found.of(HEAD)]


def test_without_quantization_everything_is_plain() -> None:
    found = read(None)
    assert found is not None
    assert found.of(DOWN, 0) == found.of(HEAD) == BF16


def test_a_module_may_have_a_format_of_its_own() -> None:
    found = read({"quant_method": "fp8", "activation_scheme": "static"})
    assert found is not None
    assert found.of(column("gate", 1024, 8, bits=32), 0) == plain(32)


def test_fp8_leaves_the_head_and_what_it_lists() -> None:
    listed = ["model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.k_proj"]
    fp8 = {"quant_method": "fp8", "activation_scheme": "static", "ignored_layers": listed}
    assert stored(fp8) == [formats.FP8_TENSOR, BF16, formats.FP8_TENSOR, BF16]


def test_modelopt_quantizes_the_head_unless_it_is_excluded() -> None:
    nvfp4 = {"quant_method": "modelopt", "quant_algo": "NVFP4"}
    assert stored(nvfp4)[3] == formats.NVFP4
    assert stored({**nvfp4, "ignore": ["lm_head"]})[3] == BF16


def test_mxfp4_is_of_experts_alone_and_padded_less_for_gpt_oss() -> None:
    assert stored({"quant_method": "mxfp4"}) == [BF16, BF16, formats.MXFP4_EXPERTS, BF16]
    gpt_oss = stored({"quant_method": "mxfp4"}, model_type="gpt_oss")
    assert gpt_oss[2] == formats.GPT_OSS_EXPERTS


def test_deepseek_v4_keeps_small_experts_beside_blocks() -> None:
    fp8 = {"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic"}
    small = stored(fp8, model_type="deepseek_v4")
    assert [small[0].scale_bits, small[2]] == [8, formats.MXFP4_EXPERTS]
    nvfp4 = stored({**fp8, "moe_quant_algo": "NVFP4"}, model_type="deepseek_v4")
    assert nvfp4[2] == formats.NVFP4_EXPERTS
    large = stored(fp8, model_type="deepseek_v4", expert_dtype="fp8")
    assert large[2] == formats.blocks(128, 128)


def test_groups_of_compressed_tensors_name_their_modules() -> None:
    def group(bits: int, targets: list[str]) -> dict[str, Any]:
        weights = {"num_bits": bits, "type": "int", "strategy": "group", "group_size": 64, "symmetric": True}
        return {"targets": targets, "weights": weights, "format": "pack-quantized"}

    mixed = {
        "quant_method": "compressed-tensors",
        "config_groups": {"a": group(8, ["re:.*self_attn.*"]), "b": group(4, ["Linear"])},
    }
    assert [each.bits for each in stored(mixed)] == [4, 8, 4, 16]


def test_integers_have_zero_points_and_whole_groups() -> None:
    awq = stored({"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True})
    assert awq[0] == formats.groups(4, 128, zero_points=True)


@pytest.mark.parametrize(("dtype", "rule"), [("float16", Rule.NONE), ("bfloat16", Rule.GROUPS)])
def test_gptq_takes_parts_of_groups_in_float16(dtype: str, rule: Rule) -> None:
    found = read({"quant_method": "gptq", "bits": 4, "group_size": 128}, dtype)
    assert found is not None
    assert found.of(DOWN, 0).rule == rule


def test_gptq_leaves_modules_out_by_pattern() -> None:
    dynamic: dict[str, Any] = {"-:.*self_attn.*": {}}
    gptq = {"quant_method": "gptq", "bits": 4, "group_size": 128, "dynamic": dynamic, "lm_head": True}
    assert [each.bits for each in stored(gptq)] == [4, 16, 4, 4]


@pytest.mark.parametrize(
    "unknown",
    [
        {"quant_method": "of-next-year"},
        {"quant_method": "bitsandbytes", "load_in_4bit": True},
        {"quant_method": "modelopt", "quant_algo": "W2A2"},
        {"quant_method": "gptq"},
    ],
)
def test_a_format_that_is_not_known_is_none(unknown: dict[str, Any]) -> None:
    assert read(unknown) is None
