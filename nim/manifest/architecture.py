"""What a model's `config.json` says about its size, as far as that can be read without knowing its code."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nim.manifest.types import KvCache

# Layers of these kinds keep keys and values of the whole context.
_FULL_ATTENTION = ("full_attention", "attention", "global_attention")
# Configurations with one of these have caches that the usual sum does not describe.
_UNUSUAL_CACHE = ("kv_lora_rank", "hybrid_override_pattern", "layers_block_type", "mamba_d_state")
# The engine serves 32-bit weights in 16 bits.
_DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "bf16", "half": "fp16"}
_METHODS = {"fp8": "fp8", "fbgemm_fp8": "fp8", "mxfp4": "mxfp4", "gpt_oss_mxfp4": "mxfp4", "nvfp4": "nvfp4"}
_FORMATS = {"float-quantized": "fp8", "int-quantized": "int8", "pack-quantized": "int4"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """None is unknown: the model may still be far away, or its configuration may not say."""

    precision: str | None = None
    max_model_len: int | None = None
    attention_heads: int | None = None
    kv_cache: KvCache | None = None


def read_architecture(config: Mapping[str, Any] | None) -> Architecture:
    """From a parsed `config.json`; of a model with several parts, from its text part."""
    if not config:
        return Architecture()
    text = config.get("text_config")
    joined = {**config, **text} if isinstance(text, Mapping) else dict(config)
    return Architecture(
        precision=_precision(joined),
        max_model_len=_max_model_len(joined),
        attention_heads=_whole(joined.get("num_attention_heads")),
        kv_cache=_kv_cache(joined),
    )


def _precision(config: Mapping[str, Any]) -> str | None:
    """Of the weights as they are served."""
    quantization = config.get("quantization_config") or config.get("compression_config")
    if isinstance(quantization, Mapping):
        return _quantized(quantization)
    dtype = str(config.get("dtype") or config.get("torch_dtype") or "")
    return _DTYPES.get(dtype.removeprefix("torch."))


def _quantized(quantization: Mapping[str, Any]) -> str | None:
    method = str(quantization.get("quant_method", "")).lower()
    if method in _METHODS:
        return _METHODS[method]
    words = f"{quantization.get('quant_algo', '')} {quantization.get('format', '')}".lower()
    for name in ("nvfp4", "mxfp4", "mxfp8", "fp8"):
        if name in words:
            return name
    bits = _whole(quantization.get("bits")) or _whole(quantization.get("w_bit"))
    return _FORMATS.get(words.strip()) or {4: "int4", 8: "int8"}.get(bits or 0)


def _max_model_len(config: Mapping[str, Any]) -> int | None:
    """The engine starts from the same field; where it stretches that, this does not follow."""
    scaling = config.get("rope_scaling") or config.get("rope_parameters")
    if isinstance(scaling, Mapping) and "factor" in scaling:
        kind = scaling.get("rope_type") or scaling.get("type")
        if kind not in ("default", "llama3", "mrope"):
            return None
    return _whole(config.get("max_position_embeddings"))


def _kv_cache(config: Mapping[str, Any]) -> KvCache | None:
    layers, heads = _whole(config.get("num_hidden_layers")), _whole(config.get("num_attention_heads"))
    if layers is None or heads is None or any(key in config for key in _UNUSUAL_CACHE):
        return None
    kinds = config.get("layer_types")
    if isinstance(kinds, list):
        layers = sum(kind in _FULL_ATTENTION for kind in kinds)
    size = _whole(config.get("hidden_size"))
    head_dim = _whole(config.get("head_dim")) or (size // heads if size and size % heads == 0 else None)
    kv_heads = _whole(config.get("num_key_value_heads")) or heads
    return KvCache(layers=layers, heads=kv_heads, head_dim=head_dim) if layers and head_dim else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
