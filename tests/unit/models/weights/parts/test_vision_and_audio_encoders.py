"""Vision and audio towers."""

from typing import Any

import pytest

from nim.models.config.model_config import model_config
from nim.models.weights.model_weights import read_weights
from nim.models.weights.parts.vision_and_audio_encoders import tower_modules
from nim.models.weights.tensor_parallel_split import CannotSplitError
from tests.unit.models.weights.configs import DENSE, VISION

SIGLIP = {
    "model_type": "siglip_vision_model",
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 2,
    "num_attention_heads": 16,
    "patch_size": 14,
    "image_size": 896,
}


def elements(config: dict[str, Any], ranks: int = 1) -> int:
    return sum(
        module.inputs.on_rank(ranks) * sum(output.on_rank(ranks) for output in module.outputs)
        for module in tower_modules(model_config(config))
    )


def composite(vision: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model_type": "llava", "text_config": DENSE, "vision_config": vision, **fields}


def test_a_text_model_has_none() -> None:
    assert elements(DENSE) == 0


def test_a_known_tower_is_split() -> None:
    layer = 4 * 1152 * 1152 + 2 * 1152 * 4304
    whole, halves = elements(composite(SIGLIP)), elements(composite(SIGLIP), 2)
    assert whole - halves > layer // 2


def test_layers_behind_the_one_that_is_used_are_not_loaded() -> None:
    last, last_but_one = (elements(composite(SIGLIP, vision_feature_layer=layer)) for layer in (-1, -2))
    assert last - last_but_one == 4 * 1152 * 1152 + 2 * 1152 * 4304


def test_a_tower_that_does_not_divide_refuses_a_size() -> None:
    with pytest.raises(CannotSplitError, match="16 heads of the vision or audio tower"):
        elements(composite(SIGLIP), 3)


def test_an_unknown_tower_counts_in_full_and_refuses_nothing() -> None:
    tower = {**SIGLIP, "model_type": "new-tower"}
    unknown = {"model_type": "new", "text_config": DENSE, "vision_config": tower}
    assert elements(unknown, 3) == elements(unknown)


@pytest.mark.parametrize("part", [None, {}, {"model_type": "new-tower", "hidden_size": 1152}])
def test_a_tower_without_sizes_counts_nothing(part: dict[str, Any] | None) -> None:
    assert elements({"model_type": "new", "text_config": DENSE, "vision_config": part}) == 0


def test_towers_are_not_quantized() -> None:
    config = model_config(
        {**VISION, "quantization_config": {"quant_method": "fp8", "activation_scheme": "static"}}
    )
    plain, quantized = read_weights(model_config(VISION), None), read_weights(config, None)
    assert plain is not None
    assert quantized is not None
    assert plain.towers == quantized.towers
