"""Whether the engine's class of a model can load LoRA adapters."""

from nim.engine.supported_names_catalog import Feature
from nim.models.engine_support import supports
from nim.models.facts import ModelFacts
from nim.selection.effective_options import EngineOptions


def takes_adapters(facts: ModelFacts | None, options: EngineOptions) -> bool:
    """Return False if vLLM's class of this model certainly has no LoRA support; True if it may."""
    if facts is None or options.get("model_class_overrides"):
        return True
    model_impl = options.text("model_impl") or "auto"
    return supports(facts.config, Feature.LORA, model_impl) is not False
