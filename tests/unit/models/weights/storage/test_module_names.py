"""Lists of modules that are left unquantized."""

import pytest

from nim.models.weights.storage.module_names import module_list


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("lm_head", "lm_head", True),
        ("model.layers.3.mlp.gate", "layers.3.mlp.gate", True),
        ("model.layers.3.mlp.gate", "layers.3.mlp.gate_up_proj", False),
        ("model.layers.3.self_attn.q_proj", "layers.3.self_attn.qkv_proj", True),
        ("model.language_model.layers.3.mlp.up_proj", "layers.3.mlp.gate_up_proj", True),
        ("backbone.layers.3.mixer.in_proj", "layers.3.mixer.in_proj", True),
        ("model.layers.3.self_attn", "layers.3.self_attn.o_proj", True),
        ("model.layers.3*", "layers.3.mlp.down_proj", True),
        ("model.layers.3*", "layers.30.mlp.down_proj", False),
        ("*.self_attn.*", "layers.3.self_attn.o_proj", True),
        ("*self_attn*", "layers.3.mlp.down_proj", False),
        ("re:.*self_attn.*", "layers.3.self_attn.o_proj", True),
        ("re:^model\\.layers\\.3\\..*", "layers.3.mlp.down_proj", True),
        ("re:([", "layers.3.mlp.down_proj", False),
        ("model.layers.3.mlp.experts.0.up_proj", "layers.3.mlp.experts", True),
    ],
)
def test_a_pattern_meets_the_checkpoints_names(pattern: str, name: str, expected: bool) -> None:
    assert module_list([pattern]).has(name) is expected


def test_some_methods_take_a_part_of_a_name() -> None:
    assert module_list(["gate"], contained=True).has("layers.3.mlp.gate")
    assert not module_list(["gate"]).has("layers.3.mlp.gate")
    assert module_list(["model.layers.1"], contained=True).has("layers.12.mlp.down_proj")
