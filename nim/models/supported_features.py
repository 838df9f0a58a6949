"""Look up which features the engine's class for a model has, in the engine's model catalog."""

from nim.engine.supported_names_catalog import Feature, load_catalog
from nim.models.config.model_config import ModelConfig


def supports(config: ModelConfig, feature: Feature, model_impl: str = "auto") -> bool | None:
    """Return whether the engine's class for the model has a feature; None if the class is unknown."""
    loaded = load_catalog().resolve(config.architectures, model_impl) if config.architectures else None
    if loaded is None or loaded.architecture is None:
        return None
    return feature in loaded.architecture.features
