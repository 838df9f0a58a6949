"""Whether a model generates text or pools, and which inputs it accepts besides text."""

from nim.engine.supported_names_catalog import Architecture, Catalog, Feature, load_catalog
from nim.models.config.model_config import ModelConfig, Section

_SIGNS = {
    "image": ("vision_config", "vision_encoder", "vision_tower", "image_token_id", "image_token_index"),
    "video": ("video_token_id", "video_token_index", "video_pad_token_id"),
    "audio": (
        "audio_config", "audio_token_id", "audio_token_index", "whisper_config", "audio_encoder_config",
        "encoder_layers",
    ),
}  # fmt: skip
_NOT_TEXT = ("thinker_config",)  # parts whose signs count as the model's own


def generates(config: ModelConfig) -> bool | None:
    """Return True if the engine serves the model for generation, False for pooling, None if unknown."""
    if config.pools:
        return False
    if not config.architectures:
        return None
    catalog = load_catalog()
    loaded = _implementation(config, catalog)
    for name in config.architectures:
        if loaded and catalog.architecture(name):
            if Feature.POOLING in loaded.features:
                return False
            if Feature.GENERATE in loaded.features:
                return True
        found = _by_ending(name, catalog)
        if found is not None:
            return found
    return True


def modalities(config: ModelConfig) -> tuple[str, ...]:
    """Return the accepted inputs as a tuple of words, "text" first, then "image", "video", "audio"."""
    loaded = _implementation(config, load_catalog())
    if loaded and Feature.MULTIMODAL not in loaded.features:
        return ("text",)
    sections = (config.root, *(config.root.part(name) for name in _NOT_TEXT))
    return ("text", *(kind for kind, names in _SIGNS.items() if any(_has(s, names) for s in sections)))


def _implementation(config: ModelConfig, catalog: Catalog) -> Architecture | None:
    """Return the engine's catalog entry of the class that loads the model; None if there is none."""
    loaded = catalog.resolve(config.architectures) if config.architectures else None
    return loaded.architecture if loaded else None


def _by_ending(name: str, catalog: Catalog) -> bool | None:
    """Return whether an architecture generates, by the ending of its name; None if no ending is known."""
    endings = catalog.rows["convertible_suffixes"]
    return next((runner == "generate" for ending, runner, _ in endings if name.endswith(ending)), None)


def _has(section: Section, names: tuple[str, ...]) -> bool:
    """Return whether the configuration or its class has one of these keys or parts."""
    return any(section.values.get(name) is not None or name in section.known.parts for name in names)
