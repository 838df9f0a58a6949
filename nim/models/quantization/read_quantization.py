"""How a checkpoint is quantized: the engine's method, the project's precision, groups and blocks."""

from collections.abc import Mapping
from typing import Any

from nim.log_format import visible
from nim.models.config.model_config import ModelConfig, as_integer, as_size, as_string
from nim.models.quantization.read_precision import algorithm_of, checkpoint_precision, weight_groups
from nim.models.types import Quantization

_BITS = {"nvfp4": 4, "mxfp4": 4, "int4": 4, "mxfp8": 8, "fp8": 8, "int8": 8}
_GROUPS = {"nvfp4": 16, "mxfp4": 32, "mxfp8": 32}
# What the engine makes of the checkpoint's own word.
_METHODS = {
    "gptq": "auto_gptq",
    "awq": "auto_awq",
    "auto-round": "inc",
    "compressed_tensors": "compressed-tensors",
}
_IGNORED = ("ignore", "modules_to_not_convert", "exclude_modules", "ignored_layers", "exclude")
_KV_DTYPES = {"fp8": "fp8_e4m3", "nvfp4": "nvfp4"}


def read_quantization(config: ModelConfig) -> Quantization | None:
    """Return how the weights are quantized as `Quantization`; None if they are not."""
    raw = _raw(config)
    if raw is None:
        return None
    method = _method(raw, config)
    precision = checkpoint_precision(raw, method)
    return Quantization(
        method=method,
        precision=precision,
        bits=_BITS.get(precision or "") or as_integer(raw.get("bits")),
        group_size=_group_size(raw) or _GROUPS.get(precision or ""),
        block=_block(raw),
        ignored=_ignored(raw),
        kv_cache_dtype=_kv_cache_dtype(raw, method),
    )


def quantization_mapping(config: ModelConfig) -> Mapping[str, Any]:
    """Return the quantization section as a dict, ModelOpt's inner object merged into it; {} if none."""
    return _raw(config) or {}


def _raw(config: ModelConfig) -> dict[str, Any] | None:
    """Return the quantization section of config.json or `hf_quant_config.json` as a dict; None if none.

    Control characters in its strings are escaped.
    """
    for found in (
        config.root.mapping("quantization_config"),
        config.hf_quant_config,
        config.root.mapping("compression_config"),
        config.text.mapping("quantization_config"),
        config.text.mapping("compression_config"),
    ):
        if found:
            inner = found.get("quantization")
            raw = {**inner, **found} if isinstance(inner, Mapping) else found
            return {name: visible(value) if isinstance(value, str) else value for name, value in raw.items()}
    return None


def _method(raw: Mapping[str, Any], config: ModelConfig) -> str | None:
    """Return the engine's name of the quantization method; None if the section names none."""
    method = str(raw.get("quant_method") or "").lower()
    producer = raw.get("producer")
    by_modelopt = isinstance(producer, Mapping) and producer.get("name") == "modelopt"
    if (by_modelopt and isinstance(raw.get("quantization"), Mapping)) or method.startswith("modelopt"):
        return _modelopt_method(algorithm_of(raw)) or method or None
    method = _METHODS.get(method, method)
    if method == "mxfp4" and config.model_type == "gpt_oss":
        return "gpt_oss_mxfp4"
    if method == "fp8" and config.model_type == "deepseek_v4":
        return "deepseek_v4_fp8"
    if method == "compressed-tensors" and _is_kimi_mxfp4(raw, config):
        return "mxfp4"
    return method or None


def _modelopt_method(algorithm: str) -> str | None:
    """Return the engine's method name for ModelOpt's algorithm; None if unknown."""
    if "MXFP8" in algorithm:
        return "modelopt_mxfp8"
    if "FP4" in algorithm:
        return "modelopt_fp4"
    if algorithm == "MIXED_PRECISION":
        return "modelopt_mixed"
    return "modelopt" if algorithm.startswith("FP8") else None


def _is_kimi_mxfp4(raw: Mapping[str, Any], config: ModelConfig) -> bool:
    """Return whether the checkpoint is Kimi K3's MXFP4."""
    return raw.get("format") == "mxfp4-pack-quantized" and any(
        "KimiK3" in name for name in config.architectures
    )


def _group_size(raw: Mapping[str, Any]) -> int | None:
    """Return the elements per quantization group; None if not stated."""
    named = [raw.get("group_size"), raw.get("q_group_size")]
    weights = [group["weights"] for group in weight_groups(raw) if isinstance(group.get("weights"), Mapping)]
    sizes = (as_integer(value) for value in (*named, *(w.get("group_size") for w in weights)))
    return next((size for size in sizes if size and size > 0), None)


def _block(raw: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return (rows, columns) of a quantization block; None if not stated."""
    weights = [group["weights"] for group in weight_groups(raw) if isinstance(group.get("weights"), Mapping)]
    for value in (raw.get("weight_block_size"), *(w.get("block_structure") for w in weights)):
        if isinstance(value, list) and len(value) == 2:
            rows, columns = map(as_size, value)
            if rows and columns:
                return rows, columns
    return None


def _ignored(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names (or patterns) of unquantized modules; () if there is no list."""
    named = (raw.get(key) for key in _IGNORED)
    return next(
        (tuple(str(name) for name in value) for value in named if isinstance(value, list) and value), ()
    )


def _kv_cache_dtype(raw: Mapping[str, Any], method: str | None) -> str | None:
    """Return the engine's KV cache type that the checkpoint asks for; None if it asks for none."""
    scheme = raw.get("kv_cache_scheme")
    if method == "compressed-tensors":
        return "fp8" if scheme is not None else None
    if not (method or "").startswith("modelopt"):
        return None
    if isinstance(scheme, Mapping):
        bits = as_integer(scheme.get("num_bits"))
        return {8: "fp8_e4m3", 4: "nvfp4"}.get(bits or 0) if scheme.get("type") == "float" else None
    return _KV_DTYPES.get((as_string(scheme) or as_string(raw.get("kv_cache_quant_algo")) or "").lower())
