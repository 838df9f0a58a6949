"""Combine all that is read from a model's configuration into one `ModelReading`."""

from nim.models.config.detect_task_and_modalities import generates, modalities
from nim.models.config.model_config import ModelConfig, as_integer
from nim.models.config.read_attention_heads import read_heads
from nim.models.config.read_context_length import read_context
from nim.models.layers import read_layers
from nim.models.quantization.read_quantization import read_quantization
from nim.models.types import Experts, ModelReading

_EXPERTS = ("num_experts", "moe_num_experts", "n_routed_experts", "num_local_experts")
_CHOSEN = ("num_experts_per_tok", "num_experts_per_token", "top_k_experts", "moe_topk", "moe_top_k")
# The engine serves 32-bit weights in 16 bits.
_SERVED = {"bfloat16": "bf16", "float16": "fp16", "half": "fp16", "float32": "bf16", "float": "bf16"}


def read_model(config: ModelConfig) -> ModelReading:
    """Return the `ModelReading` of a configuration; fields that it does not state are None."""
    if not config.root.values:
        return ModelReading()
    heads = read_heads(config)
    quantization = read_quantization(config)
    dtype = _dtype(config)
    serves_generation = generates(config)
    return ModelReading(
        architecture=next(iter(config.architectures), None),
        architectures=config.architectures,
        model_type=config.model_type,
        text_model_type=config.text.model_type,
        heads=heads.attention,
        kv_heads=heads.kv,
        head_size=heads.size,
        hidden_size=heads.hidden,
        vocab_size=config.first_integer("vocab_size"),
        layers=read_layers(config, heads),
        experts=_experts(config),
        context=read_context(config, generates=serves_generation),
        quantization=quantization,
        dtype=dtype,
        precision=quantization.precision if quantization else _SERVED.get(dtype or ""),
        modalities=modalities(config),
        generates=serves_generation,
    )


def _experts(config: ModelConfig) -> Experts | None:
    """Return the routed `Experts` (count, and per token); None for a dense model."""
    listed = [found for one in config.first_list(*_EXPERTS) or () if (found := as_integer(one)) is not None]
    count = config.first_integer(*_EXPERTS) or max(listed, default=None)
    return Experts(count=count, per_token=config.first_integer(*_CHOSEN)) if count else None


def _dtype(config: ModelConfig) -> str | None:
    """Return the data type's name (bfloat16 …) of the top level, else of a part; None if not stated."""
    for section in (
        config.root,
        config.text,
        config.root.part("vision_config"),
        config.root.part("encoder_config"),
    ):
        word = section.first_string("dtype", "torch_dtype")
        if word is not None:
            return word.removeprefix("torch.")
    return None
