"""Catalog rows for quantization: the engine's methods, and which method loads which checkpoint."""

import inspect
import types
from collections.abc import Iterator
from typing import Any

Row = dict[str, Any]

# Model types with a quantization method of their own, though their checkpoints name a common one.
_MODEL_TYPES = {"mxfp4": ("gpt_oss",), "fp8": ("deepseek_v4", "deepseek_v41")}
# What a method requires of a checkpoint besides the method's name.
_COMMON = {"bits": 4, "group_size": 128, "desc_act": False, "sym": True, "zero_point": True}


def method_rows() -> dict[str, Row]:
    """Return a dict: value of `--quantization` → row (class, capability, dtypes …), asked of vLLM."""
    from vllm.config.quantization import _ONLINE_SHORTHANDS
    from vllm.model_executor.layers import quantization

    rows: dict[str, Row] = {}
    for name in sorted(quantization.QUANTIZATION_METHODS):
        found = quantization.get_quantization_config(name)
        rows[name] = {
            "class": f"{found.__module__}.{found.__name__}".removeprefix("vllm."),
            "capability": _ask(found, "get_min_capability"),
            "dtypes": sorted(
                str(dtype).removeprefix("torch.") for dtype in _ask(found, "get_supported_act_dtypes")
            ),
            "files": _ask(found, "get_config_filenames"),
            "online": name in _ONLINE_SHORTHANDS,
            "needs_config": name not in _ONLINE_SHORTHANDS and _needs_config(found),
            "deprecated": name in quantization.DEPRECATED_QUANTIZATION_METHODS,
        }
    return {name: {key: value for key, value in row.items() if value} for name, row in rows.items()}


def checkpoint_rows(methods: dict[str, Row]) -> dict[str, Row]:
    """Return `quant_method` → row (loading method, accepted --quantization values), asked of vLLM.

    If more than the method decides, the key has a second word: ModelOpt's `quant_algo`, or the `model_type`.
    The engine refuses a method that no row names. `asked` lists the values of `--quantization` that it
    accepts for the checkpoint; null means all but `refused`. With a value in `otherwise`, another method
    loads it.
    """
    rows: dict[str, Row] = {}
    for key, config, model_type in _checkpoints(methods):
        loaded = {asked: _loaded(config, asked, model_type) for asked in (None, *methods)}
        if method := loaded.pop(None):
            taken = [asked for asked, by in loaded.items() if by]
            refused = [asked for asked, by in loaded.items() if not by]
            few = len(taken) < len(refused)
            rows[key] = {"method": method, "asked": taken if few else None}
            rows[key] |= {"refused": refused} if refused and not few else {}
            others = {asked: by for asked, by in loaded.items() if by not in (None, method)}
            rows[key] |= {"otherwise": others} if others else {}
    return rows


def _needs_config(found: Any) -> bool:
    """Return True if quantization class `found` cannot be built without a configuration."""
    parameters = inspect.signature(found).parameters.values()
    required = any(one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD for one in parameters)
    return bool(_ask(found, "get_config_filenames")) or required


def _ask(found: Any, method: str) -> Any:
    """Return the result of calling a method of class `found`, with the class as self if it needs one."""
    function = getattr(found, method)
    return function(found) if len(inspect.signature(function).parameters) else function()


def _checkpoints(methods: dict[str, Row]) -> Iterator[tuple[str, Row, str]]:
    """Yield (key, quantization config, model type) for each kind of quantized checkpoint."""
    from transformers.utils.quantization_config import QuantizationMethod
    from vllm.model_executor.layers.quantization.modelopt import QUANT_ALGOS

    for name in sorted({*methods, *(method.value for method in QuantizationMethod)}):
        yield name, {**_COMMON, "quant_method": name}, ""
        for model_type in _MODEL_TYPES.get(name, ()):
            yield f"{name} {model_type}", {**_COMMON, "quant_method": name}, model_type
    for algorithm in sorted(QUANT_ALGOS):
        yield f"modelopt {algorithm}", {"quant_method": "modelopt", "quant_algo": algorithm}, ""


def _loaded(config: Row, asked: str | None, model_type: str) -> str | None:
    """Return the method vLLM loads a checkpoint by with `--quantization asked`; None if it refuses."""
    from vllm.config import ModelConfig

    asking = types.SimpleNamespace(
        quantization=asked,
        model_arch_config=types.SimpleNamespace(quantization_config=dict(config)),
        hf_config=types.SimpleNamespace(model_type=model_type),
        allow_deprecated_quantization=True,
    )
    try:
        ModelConfig._verify_quantization(asking)  # noqa: SLF001
    except ValueError:
        return None
    return str(asking.quantization)
