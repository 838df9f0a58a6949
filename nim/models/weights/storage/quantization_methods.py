"""The storage formats that each quantization method gives to a model's modules."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from nim.frozen_dataclass import frozen_dataclass
from nim.models.config.model_config import ModelConfig, as_integer, as_size
from nim.models.quantization.read_precision import weight_groups
from nim.models.quantization.read_quantization import quantization_mapping
from nim.models.types import Quantization
from nim.models.weights.storage import formats
from nim.models.weights.storage.bits_and_scales import Rule, Storage, plain
from nim.models.weights.storage.formats_by_module import Formats
from nim.models.weights.storage.match_module_names import ROOTS, ModuleList, checkpoint_names, module_list

HOPPER = (9, 0)
_BITS = {"float32": 32, "float64": 64}


@frozen_dataclass
class _Checkpoint:
    """What a checkpoint says about its quantization."""

    config: ModelConfig
    raw: Mapping[str, Any]
    dtype: str
    plain: Storage
    capability: tuple[int, int]

    def strings(self, *keys: str) -> Iterable[str]:
        """Return the first non-empty list under these keys of the quantization, as strings; else []."""
        named = (self.raw.get(key) for key in keys)
        return next(
            ([str(each) for each in value] for value in named if isinstance(value, list) and value), []
        )

    @property
    def left_out_by_modelopt(self) -> Iterable[str]:
        """Return the module patterns that ModelOpt left unquantized, by the layout's key; else []."""
        return self.strings(
            "exclude_modules" if isinstance(self.raw.get("quantization"), Mapping) else "ignore"
        )


def read_formats(
    config: ModelConfig,
    quantization: Quantization | None,
    *,
    quantize: str | None = None,
    dtype: str = "bfloat16",
    capability: tuple[int, int] = HOPPER,
) -> Formats | None:
    """Return the `Formats` of the model's modules; None if its quantization is not known here.

    `dtype` is that of weights that are not quantized, `quantize` the engine's `--quantization`, `capability`
    that of the GPU, whose kernels pad some weights.
    """
    method, unquantized = quantization.method if quantization else None, plain(_BITS.get(dtype, 16))
    if method is None:
        return _on_the_fly(quantize, unquantized)
    read = _METHODS.get(method)
    raw = quantization_mapping(config)
    checkpoint = _Checkpoint(config=config, raw=raw, dtype=dtype, plain=unquantized, capability=capability)
    return read(checkpoint) if read else None


def _on_the_fly(quantize: str | None, unquantized: Storage) -> Formats | None:
    """Return the `Formats` of weights with `--quantization` or without; None for an unknown method."""
    if quantize is None:
        return Formats(plain=unquantized)
    if quantize not in formats.ON_THE_FLY:
        return None
    linear, experts = formats.ON_THE_FLY[quantize]
    return Formats(plain=unquantized, linear=linear, experts=experts)


def _fp8(checkpoint: _Checkpoint) -> Formats | None:
    """Return the `Formats` of an FP8 checkpoint; None if its block size is invalid."""
    tile = checkpoint.raw.get("weight_block_size")
    stored = formats.FP8_TENSOR
    if isinstance(tile, list) and len(tile) == 2:
        if (blocks := formats.tiles(tile)) is None:
            return None
        stored = blocks
    experts = formats.MXFP4_EXPERTS if checkpoint.raw.get("store_dtype") == "mxfp4" else stored
    left_out = module_list(checkpoint.strings("ignored_layers", "modules_to_not_convert"))
    return Formats(plain=checkpoint.plain, linear=stored, experts=experts, left_out=left_out)


def _deepseek_v4(checkpoint: _Checkpoint) -> Formats | None:
    """Return DeepSeek V4's `Formats`: 128 × 128 blocks, and 4-bit experts unless stated otherwise."""
    words = (
        checkpoint.config.first_string("expert_dtype"),
        checkpoint.config.root.first_string("expert_dtype"),
    )
    small = next((word for word in words if word), "fp4") == "fp4"
    stored = formats.blocks(128, 128, scale_bits=8 if small else 32)
    experts = stored
    if str(checkpoint.raw.get("moe_quant_algo") or "").upper() == "NVFP4":
        experts = formats.NVFP4_EXPERTS
    elif small:
        experts = formats.MXFP4_EXPERTS
    return Formats(plain=checkpoint.plain, linear=stored, experts=experts)


def _fbgemm(checkpoint: _Checkpoint) -> Formats:
    """Return the `Formats` of an FBGEMM checkpoint."""
    left_out = module_list(checkpoint.strings("modules_to_not_convert"))
    return Formats(plain=checkpoint.plain, linear=formats.FP8_CHANNEL, left_out=left_out)


def _modelopt(checkpoint: _Checkpoint) -> Formats | None:
    """Return the `Formats` of a ModelOpt checkpoint; None for an unknown algorithm."""
    algorithm = str(checkpoint.raw.get("quant_algo") or checkpoint.raw.get("quant_method") or "").upper()
    stored = formats.ALGORITHMS.get(algorithm)
    if stored is None:
        return None
    left_out = module_list(checkpoint.left_out_by_modelopt, contained=True)
    return Formats(
        plain=checkpoint.plain,
        linear=stored,
        experts=formats.for_experts(stored),
        head=stored,
        left_out=left_out,
    )


def _mxfp8(checkpoint: _Checkpoint) -> Formats | None:
    """Return the `Formats` of an MXFP8 checkpoint."""
    listed = checkpoint.strings("exclude_modules", "ignore", "modules_to_not_convert", "ignored_layers")
    left_out = module_list(listed, contained=True)
    return Formats(plain=checkpoint.plain, linear=formats.MXFP8, experts=formats.MXFP8, left_out=left_out)


def _modelopt_mixed(checkpoint: _Checkpoint) -> Formats | None:
    """Return the `Formats` of a ModelOpt checkpoint of several algorithms; None without its list."""
    layers = checkpoint.raw.get("quantized_layers")
    if not isinstance(layers, Mapping):
        return None

    def by_name(name: str) -> Storage | None:
        """Return the format listed for a module; None if it is not quantized."""
        found = next((layers[key] for key in _checkpoint_keys(name) if key in layers), None)
        algorithm = str(found.get("quant_algo") or "").upper() if isinstance(found, Mapping) else ""
        return formats.ALGORITHMS.get(algorithm)

    left_out = module_list(checkpoint.left_out_by_modelopt, contained=True)
    head = by_name("lm_head")
    return Formats(plain=checkpoint.plain, by_name=by_name, head=head, left_out=left_out)


def _checkpoint_keys(name: str) -> Iterable[str]:
    """Yield the names that a checkpoint may have for a module; for experts also those of the first one."""
    experts = ("", ".0.up_proj", ".0.gate_proj", ".0.w1", ".up_proj", ".gate_up_proj")
    for each in checkpoint_names(name):
        for end in experts if name.endswith("experts") else ("",):
            yield from (f"{root}{each}{end}" for root in ROOTS)


def _compressed_tensors(checkpoint: _Checkpoint) -> Formats | None:
    """Return the `Formats` of a compressed-tensors checkpoint; None if a group is unknown."""
    groups = checkpoint.raw.get("config_groups")
    every: Storage | None = None
    named: list[tuple[ModuleList, Storage]] = []
    for group in groups.values() if isinstance(groups, Mapping) else ():
        kind = str(group.get("format") or checkpoint.raw.get("format") or "")
        stored = formats.of_weights(group.get("weights") or {}, kind)
        if stored is None:
            return None
        targets = [str(target) for target in group.get("targets") or ()]
        every = stored if "Linear" in targets else every
        named.append((module_list(target for target in targets if target != "Linear"), stored))

    def by_name(name: str) -> Storage | None:
        """Return the `Storage` of the group that targets a module; None if it is not quantized."""
        probe = f"{name}.0.up_proj" if name.endswith("experts") else name
        return next((stored for targets, stored in named if targets.has(probe)), every)

    head = next((stored for targets, stored in named if targets.has("lm_head")), None)
    left_out = module_list(checkpoint.strings("ignore"))
    return Formats(plain=checkpoint.plain, by_name=by_name, head=head, left_out=left_out)


def _gptq(checkpoint: _Checkpoint) -> Formats | None:
    """Return GPTQ's `Formats`, None if sizes are unknown; `dynamic` keys with `-:` are unquantized modules.

    In float16 the engine has a kernel that takes parts of groups.
    """
    dynamic = checkpoint.raw.get("dynamic")
    patterns = [str(key) for key in dynamic] if isinstance(dynamic, Mapping) else []
    named = [f"re:.*{pattern[2:]}" for pattern in patterns if pattern.startswith("-:")]
    left_out = [*named, *checkpoint.strings("modules_to_not_convert")]
    found = _integer_groups(checkpoint, left_out)
    if found is None or found.linear is None or checkpoint.dtype != "float16":
        return found
    return replace(found, linear=replace(found.linear, rule=Rule.NONE))


def _awq(checkpoint: _Checkpoint) -> Formats | None:
    """Return the `Formats` of an AWQ checkpoint; None if bits or group size are unknown."""
    return _integer_groups(checkpoint, checkpoint.strings("modules_to_not_convert"))


def _integer_groups(checkpoint: _Checkpoint, left_out: Iterable[str]) -> Formats | None:
    """Return the `Formats` of integer weights in groups; None if bits or group size are unknown."""
    raw = checkpoint.raw
    bits = as_size(raw.get("bits")) or as_size(raw.get("w_bit"))
    size = as_integer(raw.get("group_size")) or as_integer(raw.get("q_group_size"))
    if bits is None or size is None:
        return None
    stored = formats.groups(bits, size if size > 0 else None, zero_points=True)
    without_zeros = formats.groups(bits, None, zero_points=False).scale_bits
    halved = without_zeros if raw.get("sym") is True else None
    return Formats(
        plain=checkpoint.plain,
        linear=stored,
        experts=replace(stored, rule=Rule.HALVED, refined_scale_bits=halved),
        head=stored if raw.get("lm_head") is True else None,
        left_out=module_list(left_out, contained=True),
    )


def _mxfp4(checkpoint: _Checkpoint) -> Formats | None:
    """Return the `Formats` with MXFP4 experts, all else plain; gpt-oss has less padding on Hopper."""
    left_out = module_list(checkpoint.strings("modules_to_not_convert", "ignored_layers"))
    padded_less = checkpoint.config.model_type == "gpt_oss" and checkpoint.capability[0] == HOPPER[0]
    stored = formats.GPT_OSS_EXPERTS if padded_less else formats.MXFP4_EXPERTS
    return Formats(plain=checkpoint.plain, experts=stored, left_out=left_out)


def _quark(checkpoint: _Checkpoint) -> Formats | None:
    """Return the `Formats` of a Quark checkpoint with one format for all layers; None if some differ."""
    raw = checkpoint.raw
    (group, *_), weight = (*weight_groups(raw), {}), raw.get("global_quant_config", {}).get("weight") or {}
    weights = {**group.get("weights", {}), "strategy": str(weight.get("qscheme") or "").removeprefix("per_")}
    stored = formats.of_weights(weights, "int-quantized")
    if stored is None or raw.get("layer_quant_config") or raw.get("layer_type_quant_config"):
        return None
    left_out = module_list(checkpoint.strings("exclude"))
    experts = formats.for_experts(stored)
    return Formats(plain=checkpoint.plain, linear=stored, experts=experts, left_out=left_out)


def _experts_int8(checkpoint: _Checkpoint) -> Formats | None:
    """Return the `Formats` with 8-bit integer experts, all else plain."""
    return Formats(plain=checkpoint.plain, experts=formats.INT8_CHANNEL)


_METHODS: Mapping[str, Callable[[_Checkpoint], Formats | None]] = {
    "auto_awq": _awq,
    "auto_gptq": _gptq,
    "compressed-tensors": _compressed_tensors,
    "deepseek_v4_fp8": _deepseek_v4,
    "experts_int8": _experts_int8,
    "fbgemm_fp8": _fbgemm,
    "fp8": _fp8,
    "gpt_oss_mxfp4": _mxfp4,
    "inc": _gptq,
    "modelopt": _modelopt,
    "modelopt_fp4": _modelopt,
    "modelopt_mixed": _modelopt_mixed,
    "modelopt_mxfp8": _modelopt,
    "mxfp4": _mxfp4,
    "mxfp8": _mxfp8,
    "quark": _quark,
}
