"""Whether a model generates, and what it takes beside text."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nim.models.config import ModelConfig

# The engine's rule for architectures by the end of their name; the first that fits decides.
_ENDINGS = (
    ("ForCausalLM", True), ("ForConditionalGeneration", True), ("ChatModel", True), ("LMHeadModel", True),
    ("ForTextEncoding", False), ("EmbeddingModel", False), ("ForSequenceClassification", False),
    ("ForTokenClassification", False), ("ForAudioClassification", False), ("ForImageClassification", False),
    ("ForVideoClassification", False), ("ClassificationModel", False), ("ForRewardModeling", False),
    ("RewardModel", False), ("Model", False),
)  # fmt: skip
_SIGNS = {
    "image": ("vision_config", "vision_encoder", "vision_tower", "image_token_id", "image_token_index"),
    "video": ("video_token_id", "video_token_index", "video_pad_token_id"),
    "audio": (
        "audio_config",
        "audio_token_id",
        "audio_token_index",
        "whisper_config",
        "audio_encoder_config",
    ),
}


def generates(config: ModelConfig) -> bool | None:
    """Return whether the engine serves it for generation by itself; False is pooling, None unknown."""
    if config.pools:
        return False
    if not config.architectures:
        return None
    for name in config.architectures:
        found = _by_name(name)
        if found is not None:
            return found
    return True


def modalities(config: ModelConfig) -> tuple[str, ...]:
    """Return what the model takes, text first."""
    sections = list(_sections(config.root.values))
    taken = (
        kind for kind, names in _SIGNS.items() if any(s.get(n) is not None for s in sections for n in names)
    )
    return ("text", *taken)


def _by_name(name: str) -> bool | None:
    return next((answer for ending, answer in _ENDINGS if name.endswith(ending)), None)


def _sections(
    values: Mapping[str, Any], path: Sequence[str] = ("thinker_config",)
) -> Iterator[Mapping[str, Any]]:
    yield values
    for name in path:
        inner = values.get(name)
        if isinstance(inner, Mapping):
            yield inner
