"""Widths of feed-forward networks and experts."""

from typing import Any

import pytest

from nim.models.config.model_config import model_config
from nim.models.weights.parts.feed_forward import dense_width, feed_forward_modules, read_mixture
from nim.models.weights.parts.model_family_properties import family_of
from nim.models.weights.weight_matrices import Linear
from tests.unit.models.weights.configs import DENSE


@pytest.mark.parametrize(
    ("config", "count", "width", "shared"),
    [
        ({"num_local_experts": 8, "intermediate_size": 14336}, 8, 14336, 0),
        ({"n_routed_experts": 64, "moe_intermediate_size": 1408, "n_shared_experts": 2}, 64, 1408, 2816),
        (
            {"num_experts": 60, "moe_intermediate_size": 1408, "shared_expert_intermediate_size": 5632},
            60,
            1408,
            5632,
        ),
        ({"num_experts": 4, "moe_intermediate_size": [3072, 3072], "num_shared_expert": 1}, 4, 3072, 3072),
        (
            {"model_type": "llama4_text", "num_local_experts": 16, "intermediate_size": 8192},
            16,
            8192,
            8192,
        ),
        ({"ffn_config": {"moe_num_experts": 16, "ffn_hidden_size": 10752}}, 16, 10752, 0),
    ],
)
def test_experts_under_any_name(config: dict[str, Any], count: int, width: int, shared: int) -> None:
    found = read_mixture(model_config(config))
    assert found is not None
    assert (found.count, found.width, found.shared_width) == (count, width, shared)


@pytest.mark.parametrize("config", [{}, {"num_experts": 0, "intermediate_size": 4096}, {"num_experts": 1}])
def test_no_experts(config: dict[str, Any]) -> None:
    assert read_mixture(model_config(config)) is None


def test_a_width_that_is_not_stated_is_four_times_the_models() -> None:
    assert dense_width(model_config({"hidden_size": 1024}), 0) == 4096


def test_blocks_of_a_searched_architecture_have_their_own_width() -> None:
    """Nemotron-NAS: two thirds of a multiple, rounded up to 256 channels."""
    blocks = [{"ffn": {"ffn_mult": 2.625}}, {"ffn": {"no_op": True}}, {"ffn": {"intermediate_size": 512}}]
    config = model_config({**DENSE, "model_type": "nemotron-nas", "block_configs": blocks})
    widths = [
        [
            module.inputs.count
            for module in feed_forward_modules(config, family_of(config), index, sparse=False)
            if isinstance(module, Linear) and module.name == "mlp.down_proj"
        ]
        for index in range(3)
    ]
    assert widths == [[1792], [], [512]]
