"""Whether the engine's class of a model can load LoRA adapters."""

from nim.engine.model_catalog import Feature
from nim.models.engine_support import supports
from nim.models.facts import ModelFacts
from nim.selection.effective_options import EngineOptions


def takes_adapters(facts: ModelFacts | None, options: EngineOptions) -> bool:
    """Return False where the engine is certain to load a class that has no adapters."""
    if facts is None or options.get("model_class_overrides"):
        return True
    model_impl = options.text("model_impl") or "auto"
    return supports(facts.config, Feature.LORA, model_impl) is not False
