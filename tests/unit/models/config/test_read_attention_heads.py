"""Heads as the engine reports them."""

from typing import Any

import pytest

from tests.unit.models.models import DEEPSEEK_V3, LLAMA, NEMOTRON_H, reading

BLOCK = {"attention": {"n_heads_in_group": 8}}


@pytest.mark.parametrize(
    ("config", "heads", "kv_heads", "size"),
    [
        (LLAMA, 32, 8, 128),
        ({**LLAMA, "num_key_value_heads": None}, 32, 32, 128),
        ({**LLAMA, "head_dim": 64}, 32, 8, 64),
        (DEEPSEEK_V3, 128, 128, 576),
        (NEMOTRON_H, 32, 8, 128),
        ({"model_type": "gpt2", "n_head": 12, "n_embd": 768}, 12, 12, 64),
        ({"model_type": "gpt_bigcode", "n_head": 16, "n_embd": 2048}, 16, 1, 128),
        ({"model_type": "falcon", "num_attention_heads": 71, "hidden_size": 4544}, 71, 1, 64),
        (
            {
                "model_type": "falcon",
                "num_attention_heads": 128,
                "hidden_size": 8192,
                "new_decoder_architecture": True,
                "num_kv_heads": 8,
            },
            128,
            8,
            64,
        ),
        ({"model_type": "chatglm", "multi_query_group_num": 2}, 32, 2, 128),
        (
            {"model_type": "dbrx", "n_heads": 48, "d_model": 6144, "attn_config": {"kv_n_heads": 8}},
            48,
            8,
            128,
        ),
        ({"model_type": "mpt", "n_heads": 64, "d_model": 7168}, 64, 64, 112),
        (
            {
                "model_type": "nemotron-nas",
                "num_attention_heads": 64,
                "hidden_size": 8192,
                "block_configs": [{"attention": {"no_op": True}}, BLOCK],
            },
            64,
            8,
            128,
        ),
        ({"model_type": "gemma4_text", "num_attention_heads": 16, "head_dim": 256}, 16, 4, 512),
        ({"model_type": "mamba"}, 0, 0, 0),
        ({"model_type": "of tomorrow"}, None, None, None),
    ],
)
def test_heads(config: dict[str, Any], heads: int | None, kv_heads: int | None, size: int | None) -> None:
    found = reading(config)
    assert (found.heads, found.kv_heads, found.head_size) == (heads, kv_heads, size)
