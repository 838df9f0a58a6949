"""Whether a model generates, and which inputs it accepts."""

from typing import Any

import pytest

from nim.models.config.interpret_config import read_model
from nim.models.config.model_config import model_config
from tests.unit.models.models import LLAMA, LLAMA4, WHISPER, reading


@pytest.mark.parametrize(
    ("architectures", "generates"),
    [
        (["LlamaForCausalLM"], True),
        (["ChatGLMModel"], True),  # ends like an encoder, and the engine's class generates
        (["Qwen2_5OmniModel"], True),
        (["BertModel"], False),
        (["Qwen3ForSequenceClassification"], False),
        (["LlamaModel"], True),  # the engine's class for it generates; it has none for the next
        (["Qwen3Model"], False),
        (["Qwen2ForRewardModel"], False),
        (["OfTomorrow"], True),  # what the engine assumes
        ([], True),  # a file of this type that names none is LlamaModel's
    ],
)
def test_task_follows_the_architecture(architectures: list[str], generates: bool | None) -> None:
    assert reading({**LLAMA, "architectures": architectures}).generates is generates


def test_pooling_module_makes_a_model_that_generates_an_embedder() -> None:
    assert read_model(model_config(LLAMA, pools=True)).generates is False


@pytest.mark.parametrize(
    ("config", "modalities"),
    [
        (LLAMA, ("text",)),
        ({**LLAMA, "vision_config": {"depth": 2}}, ("text",)),  # the engine's class has no use for it
        (LLAMA4, ("text", "image")),  # its vision part is there by default
        (WHISPER, ("text", "audio")),
        (
            {
                "architectures": ["Qwen2_5OmniModel"],
                "model_type": "qwen2_5_omni",
                "thinker_config": {"vision_config": {}, "audio_config": {}, "video_token_index": 1},
            },
            ("text", "image", "video", "audio"),
        ),
    ],
)
def test_parts_beside_the_language_model_are_taken(
    config: dict[str, Any], modalities: tuple[str, ...]
) -> None:
    assert reading(config).modalities == modalities
