"""Stand-ins for code and tokenizers that a bare configuration lacks."""

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

# What transformers says where the class that reads a configuration is part of the checkpoint.
MISSING = ("does not recognize this architecture", "contains custom code", "requires you to execute")
# The class of transformers that the checkpoint's own class extends: its defaults and rules hold.
EXTENDED = {
    "bailing_moe": "PreTrainedConfig",
    "internlm2": "PreTrainedConfig",
    "internlm3": "PreTrainedConfig",
    "internvl_chat": "PreTrainedConfig",
    "mimo": "Qwen2Config",
    "nemotron-nas": "LlamaConfig",
}


def register_configuration(directory: Path) -> bool:
    """Register a stand-in for the configuration's class; return whether that is possible."""
    import transformers

    kind = json.loads((directory / "config.json").read_text(encoding="utf-8")).get("model_type")
    if kind not in EXTENDED:
        return False
    extended = getattr(transformers, EXTENDED[kind])

    def create(self: Any, **fields: Any) -> None:
        given = {name: value for name, value in fields.items() if value is not None}
        extended.__init__(self, **{name: _opened(name, value) for name, value in given.items()})

    made = type("BareConfig", (extended,), {"model_type": kind, "__init__": create})
    transformers.AutoConfig.register(kind, made, exist_ok=True)
    return True


def _opened(name: str, value: Any) -> Any:
    """Return `value` as the checkpoint's own class has it: nested models and blocks have attributes."""
    from transformers import AutoConfig, PreTrainedConfig

    if name == "block_configs":
        return json.loads(json.dumps(value), object_hook=Block)
    if name not in ("llm_config", "vision_config"):
        return value
    fields = {each: kept for each, kept in value.items() if each != "model_type"}
    try:
        return AutoConfig.for_model(value["model_type"], **fields)
    except (KeyError, ValueError):
        return PreTrainedConfig(**value)


class Block(dict[str, Any]):
    """A part of `block_configs`: its fields are attributes, and it can be written as JSON."""

    def __getattr__(self, name: str) -> Any:
        if name == "no_op":
            return self.get(name, False)  # the default of the checkpoints' class
        if name not in self:
            raise AttributeError(name)
        return self[name]


def do_without_processors() -> None:
    """Allow a model all its modalities without asking a processor for limits."""
    from vllm.config import ModelConfig

    ModelConfig._supports_multimodal_inputs = lambda model: bool(model.is_multimodal_model)


def give_tokenizer(model_class: type) -> None:
    """Provide a tokenizer to code that needs one while the model is built."""
    module: Any = sys.modules[model_class.__module__]
    if hasattr(module, "cached_tokenizer_from_config"):
        module.cached_tokenizer_from_config = lambda *_, **__: Tokenizer()


class Tokenizer:
    """Gives every token the number 0. No weight's size follows from it."""

    def __init__(self) -> None:
        self.vocab: dict[str, int] = defaultdict(int)

    def get_vocab(self) -> dict[str, int]:
        """Return a vocabulary that has every token."""
        return self.vocab

    def convert_tokens_to_ids(self, _token: str) -> int:
        """Return 0."""
        return 0

    def encode(self, *_: Any, **__: Any) -> list[int]:
        """Return one token."""
        return [0]
