"""What the engine's implementation of a model supports, as its catalog has it."""

from nim.engine.supported_names_catalog import Feature, load_catalog
from nim.models.config import ModelConfig


def supports(config: ModelConfig, feature: Feature, model_impl: str = "auto") -> bool | None:
    """Return whether the class that loads the model has a feature; None where the class is not known."""
    loaded = load_catalog().resolve(config.architectures, model_impl) if config.architectures else None
    if loaded is None or loaded.architecture is None:
        return None
    return feature in loaded.architecture.features
