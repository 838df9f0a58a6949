"""The kinds and caches of layers."""

from typing import Any

import pytest

from nim.models.types import LayerKind
from tests.unit.models.models import (
    DEEPSEEK_V3,
    DEEPSEEK_V32,
    GEMMA3,
    LLAMA,
    LLAMA4,
    NEMOTRON_H,
    QWEN3_NEXT,
    WHISPER,
    reading,
)

MIXED = ["sliding_attention", "full_attention"] * 16


@pytest.mark.parametrize(
    ("config", "layers"),
    [
        (LLAMA, {"full": 32}),
        ({**LLAMA, "sliding_window": 4096}, {"sliding window": 32}),
        ({**LLAMA, "sliding_window": 4096, "layer_types": MIXED}, {"sliding window": 16, "full": 16}),
        ({**LLAMA, "model_type": "qwen2", "sliding_window": 4096}, {"full": 32}),
        (
            {**LLAMA, "model_type": "of tomorrow", "sliding_window": 4096, "use_sliding_window": False},
            {"full": 32},
        ),
        ({**LLAMA, "model_type": "of tomorrow", "sliding_window": 4096}, {"sliding window": 32}),
        (GEMMA3, {"sliding window": 52, "full": 10}),
        ({"model_type": "gpt_oss", "num_hidden_layers": 24}, {"sliding window": 12, "full": 12}),
        (
            {"model_type": "gemma3n_text", "num_hidden_layers": 35, "num_kv_shared_layers": 15},
            {"sliding window": 16, "full": 4, "none": 15},
        ),
        ({"model_type": "gemma4_text", "num_hidden_layers": 8}, {"sliding window": 6, "full": 2}),
        (LLAMA4, {"chunked": 36, "full": 12}),
        (DEEPSEEK_V3, {"mla": 61}),
        (DEEPSEEK_V32, {"mla": 61}),
        (NEMOTRON_H, {"state": 24, "none": 24, "full": 4}),
        (QWEN3_NEXT, {"state": 36, "full": 12}),
        ({"model_type": "jamba", "num_hidden_layers": 32}, {"state": 28, "full": 4}),
        ({"model_type": "falcon_h1", "num_hidden_layers": 4, "mamba_d_ssm": 3072}, {"state": 4, "full": 4}),
        ({"model_type": "mamba", "num_hidden_layers": 64}, {"state": 64}),
        (WHISPER, {"full": 4}),
        ({"model_type": "bert"}, {"encoder": 12}),
        ({**LLAMA, "is_causal": False}, {"encoder": 32}),
    ],
)
def test_kinds(config: dict[str, Any], layers: dict[str, int]) -> None:
    assert reading(config).layer_kinds == layers


def test_blocks_without_attention_keep_nothing() -> None:
    blocks = [{"attention": {"no_op": index % 2 == 1, "n_heads_in_group": 8}} for index in range(6)]
    config = {"model_type": "nemotron-nas", "num_attention_heads": 64, "hidden_size": 8192}
    found = reading(config, num_hidden_layers=6, block_configs=blocks)
    assert [layer.kind for layer in found.layers or ()] == [LayerKind.FULL, LayerKind.NONE] * 3


def test_kimi_counts_its_layers_from_one() -> None:
    linear = {"kda_layers": [1, 2, 3], "full_attn_layers": [4], "num_heads": 32, "head_dim": 128}
    config = {
        "model_type": "kimi_linear",
        "num_hidden_layers": 4,
        "kv_lora_rank": 512,
        "qk_rope_head_dim": 64,
    }
    found = reading(config, linear_attn_config={**linear, "short_conv_kernel_size": 4})
    assert [layer.kind for layer in found.layers or ()] == [*[LayerKind.STATE] * 3, LayerKind.MLA]


@pytest.mark.parametrize(
    ("changes", "indexed"),
    [({}, 61), ({"index_topk_freq": 4}, 16), ({"index_topk_pattern": "FS" + "S" * 59}, 1)],
)
def test_layers_that_share_an_index_keep_none(changes: dict[str, Any], indexed: int) -> None:
    layers = reading(DEEPSEEK_V32, **changes).layers or ()
    assert sum(len(layer.caches) == 2 for layer in layers) == indexed


def test_deepseek_v4_keeps_a_window_and_what_is_compressed() -> None:
    config = {
        "model_type": "deepseek_v4",
        "num_hidden_layers": 3,
        "num_attention_heads": 64,
        "head_dim": 512,
        "sliding_window": 128,
        "index_head_dim": 128,
        "compress_ratios": [0, 4, 128],
    }
    layers = reading(config).layers or ()
    assert [layer.kind for layer in layers] == [LayerKind.SLIDING, LayerKind.COMPRESSED, LayerKind.COMPRESSED]
    assert [len(layer.caches) for layer in layers] == [1, 5, 3]


@pytest.mark.parametrize("missing", ["num_hidden_layers", "num_attention_heads"])
def test_layers_are_unknown_without_their_sizes(missing: str) -> None:
    config = {name: value for name, value in LLAMA.items() if name != missing}
    config |= {"model_type": "of tomorrow"}
    assert reading(config, num_key_value_heads=None).layers is None
