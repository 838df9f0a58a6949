"""What is known of the model that a profile serves: its configuration, and the reading of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from nim.manifest.types import merged
from nim.models.config import ModelConfig, model_config
from nim.models.reading import read_model
from nim.models.types import ModelReading


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """A model's configuration and its reading, which belong together."""

    config: ModelConfig
    reading: ModelReading


def facts_of(config: ModelConfig, overrides: Mapping[str, Any] | None = None) -> ModelFacts:
    """Return the facts of a model, `overrides` (`--hf-overrides`) laid over its configuration first."""
    if overrides:
        changed = model_config(merged(config.root.values, overrides))
        config = replace(config, root=changed.root, text=changed.text)
    return ModelFacts(config=config, reading=read_model(config))
