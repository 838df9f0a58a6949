"""The precision of a quantized checkpoint's weights, under the project's names."""

from collections.abc import Iterator, Mapping
from typing import Any

from nim.models.config.model_config import as_integer

_PRECISIONS = {
    "fp8": "fp8", "fbgemm_fp8": "fp8", "deepseek_v4_fp8": "fp8", "mxfp4": "mxfp4", "gpt_oss_mxfp4": "mxfp4",
    "mxfp8": "mxfp8", "nvfp4": "nvfp4", "experts_int8": "int8", "modelopt": "fp8", "modelopt_fp4": "nvfp4",
    "modelopt_mxfp8": "mxfp8",
}  # fmt: skip


def checkpoint_precision(raw: Mapping[str, Any], method: str | None) -> str | None:
    """Return the narrowest precision that a quantization section names ("nvfp4" …); None if unknown."""
    found = set(_layer_precisions(raw))
    for word in ("nvfp4", "mxfp4", "int4", "mxfp8", "fp8", "int8"):
        if word in found:
            return word
    return _PRECISIONS.get(method or "") or _by_bits(raw)


def _layer_precisions(raw: Mapping[str, Any]) -> Iterator[str]:
    """Yield the precision ("fp8", "int4" …) of each quantized layer or group that states one."""
    layers = raw.get("quantized_layers")
    infos = layers.values() if isinstance(layers, Mapping) else ()
    algorithms = [info.get("quant_algo") for info in infos if isinstance(info, Mapping)]
    for algorithm in (algorithm_of(raw), raw.get("moe_quant_algo"), *algorithms):
        yield from _words_in(str(algorithm or "").lower())
    for group in weight_groups(raw):
        weights = group.get("weights")
        if isinstance(weights, Mapping) and (word := _of_weights(weights)):
            yield word
    if not any(isinstance(group.get("weights"), Mapping) for group in weight_groups(raw)):
        yield from _words_in(str(raw.get("format") or "").lower())


def _words_in(text: str) -> Iterator[str]:
    """Yield the one precision that an algorithm's lower-case name contains; nothing if it has none."""
    known = (
        ("nvfp4", "nvfp4"),
        ("mxfp4", "mxfp4"),
        ("mxfp8", "mxfp8"),
        ("w4a16_awq", "int4"),
        ("w4a8_awq", "int4"),
    )
    for part, word in (*known, ("int4", "int4"), ("int8", "int8"), ("int-quantized", "int8")):
        if part in text:
            yield word
            return
    if "fp8" in text or text == "float-quantized":
        yield "fp8"


def weight_groups(raw: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the group objects of compressed-tensors and ModelOpt, and Quark's global one in their form."""
    groups = raw.get("config_groups")
    yield from (g for g in (groups.values() if isinstance(groups, Mapping) else ()) if isinstance(g, Mapping))
    quark = raw.get("global_quant_config")
    weight = quark.get("weight") if isinstance(quark, Mapping) else None
    if isinstance(weight, Mapping):
        yield {"weights": _quark_weights(weight)}


def _quark_weights(weight: Mapping[str, Any]) -> dict[str, Any]:
    """Return Quark's `weight` object as a dict in compressed-tensors' form (num_bits, type, group_size)."""
    dtype = str(weight.get("dtype") or "")
    bits = next(
        (bits for bits in (4, 8) if dtype.startswith((f"fp{bits}", f"int{bits}", f"uint{bits}"))), None
    )
    kind = "float" if dtype.startswith("fp") else "int"
    return {"num_bits": bits, "type": kind, "group_size": weight.get("group_size")}


def _of_weights(weights: Mapping[str, Any]) -> str | None:
    """Return the precision ("nvfp4", "int8" …) of a group's `weights` object; None if unknown."""
    bits, kind = as_integer(weights.get("num_bits")), weights.get("type")
    if kind == "float" and bits == 4:
        return "mxfp4" if as_integer(weights.get("group_size")) == 32 else "nvfp4"
    if kind == "float" and bits == 8:
        return "mxfp8" if as_integer(weights.get("group_size")) == 32 else "fp8"
    return {4: "int4", 8: "int8"}.get(bits or 0) if kind in ("int", None) else None


def _by_bits(raw: Mapping[str, Any]) -> str | None:
    """Return "int4" or "int8" by the stated number of bits; None for others or if not stated."""
    bits = as_integer(raw.get("bits")) or as_integer(raw.get("w_bit")) or as_integer(raw.get("weight_bits"))
    if raw.get("load_in_4bit") or raw.get("_load_in_4bit"):
        bits = 4
    if raw.get("load_in_8bit") or raw.get("_load_in_8bit"):
        bits = 8
    return {4: "int4", 8: "int8"}.get(bits or 0)


def algorithm_of(raw: Mapping[str, Any]) -> str:
    """Return ModelOpt's `quant_algo` in upper case; "" without one."""
    return str(raw.get("quant_algo") or "").upper()
