"""Which layers have experts, by each family's keys."""

from typing import Any

import pytest

from nim.models.config.model_config import model_config
from nim.models.weights.parts.layers_with_experts import sparse_layers


@pytest.mark.parametrize(
    ("config", "sparse"),
    [
        ({}, [0, 1, 2, 3]),
        ({"first_k_dense_replace": 3, "moe_layer_freq": 1}, [3]),
        ({"num_dense_layers": 2}, [2, 3]),
        ({"decoder_sparse_step": 2}, [1, 3]),
        ({"decoder_sparse_step": 1, "mlp_only_layers": [0, 2]}, [1, 3]),
        ({"interleave_moe_layer_step": 2}, [1, 3]),
        ({"moe_layers": [2]}, [2]),
        ({"moe_layers_enum": "1,3"}, [1, 3]),
        ({"moe_layer_freq": [0, 1, 1, 0]}, [1, 2]),
        ({"mlp_layer_types": ["dense", "sparse", "sparse", "sparse"]}, [1, 2, 3]),
        ({"expert_layer_period": 2, "expert_layer_offset": 1}, [1, 3]),
        ({"moe_layer_start_index": 1, "moe_layer_interval": 1}, [1, 2, 3]),
        ({"enable_moe_block": False}, []),
        ({"enable_moe_block": True}, [0, 1, 2, 3]),
        ({"model_type": "nemotron_h", "hybrid_override_pattern": "ME*-"}, [1]),
    ],
)
def test_each_family_says_it_its_way(config: dict[str, Any], sparse: list[int]) -> None:
    found = sparse_layers(model_config(config), 4)
    assert [index for index, has_experts in enumerate(found) if has_experts] == sparse
