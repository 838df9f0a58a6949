"""Why the engine is certain to refuse a checkpoint by what its configuration says of its quantization.

The sources are in vLLM 0.32, `vllm/model_executor/layers/quantization` unless another directory is named.
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from nim.engine.supported_names_catalog import load_catalog
from nim.models.accepted_parallel_sizes import has_experts
from nim.models.config.model_config import ModelConfig
from nim.models.quantization.read_precision import weight_groups
from nim.models.quantization.read_quantization import quantization_mapping

Raw = Mapping[str, Any]

# Of each group one name must be there: `from_config` of each method's class.
_REQUIRED: Mapping[str, tuple[tuple[str, ...], ...]] = MappingProxyType(
    {
        "auto_awq": (("w_bit", "bits"), ("q_group_size", "group_size"), ("zero_point",)),
        "auto_gptq": (("bits",), ("group_size",), ("desc_act",), ("sym",)),
        "fbgemm_fp8": (("modules_to_not_convert",), ("activation_scale_ub",)),
        "fp8": (("activation_scheme",),),
        "inc": (("bits",), ("group_size",)),
        "quark": (("export",),),
    }
)
_PACKED_BITS = (4, 8)  # auto_gptq.py, AutoGPTQConfig.TYPE_MAP, all symmetric
_AWQ_BITS = (4,)  # auto_awq.py, AutoAWQConfig.TYPE_MAP
_GROUP_SIZES = (-1, 32, 64, 128)  # utils/marlin_utils.py, MARLIN_SUPPORTED_GROUP_SIZES
_SCHEMES = ("static", "dynamic")  # fp8.py, ACTIVATION_SCHEMES
_INC_FORMATS = ("auto_round:auto_gptq", "auto_round:auto_awq", "auto_round:fp8", "auto_round:llm_compressor")
_INC_INTEGERS = _INC_FORMATS[:2]
# vllm/transformers_utils/model_arch_config_convertor.py, _normalize_quantization_config
_BESIDE = ("FP8", "FP8_PER_CHANNEL_PER_TOKEN", "FP8_PB_WO", "NVFP4")


def quantization_fault(config: ModelConfig, method: str) -> str | None:
    """Return why `method` of the engine refuses the checkpoint (text); None if nothing speaks against it."""
    raw = quantization_mapping(config)
    missing = (names for names in _REQUIRED.get(method, ()) if not any(name in raw for name in names))
    if names := next(missing, None):
        return f'it does not say "{names[-1]}"'
    rules = _RULES.get("modelopt" if method.startswith("modelopt") else method)
    return next(rules(raw, config), None) if rules else None


def _gptq(raw: Raw, config: ModelConfig) -> Iterator[str]:
    """Yield why vLLM refuses a GPTQ section (texts): bits, symmetry, order, group size."""
    bits, symmetric, group = raw["bits"], raw["sym"], raw["group_size"]
    if _is_whole(bits) and (bits not in _PACKED_BITS or symmetric is False):
        yield f'"bits" {bits} with "sym" {_shown(symmetric)}: there are kernels for 4 and 8 symmetric bits'
    if raw["desc_act"] is True and group != -1:
        yield '"desc_act" true: the order of activations is no longer supported with groups'
    # Layers of experts may have other kernels, and single layers other sizes.
    if _is_whole(group) and group not in _GROUP_SIZES and not raw.get("dynamic") and _is_dense(config):
        yield _no_kernel(group)


def _awq(raw: Raw, _config: ModelConfig) -> Iterator[str]:
    """Yield one text if vLLM has no AWQ kernel for the section's number of bits; else nothing."""
    bits = raw.get("w_bit", raw.get("bits"))
    if _is_whole(bits) and bits not in _AWQ_BITS:
        yield f'"bits" {bits}: there are kernels for 4 bits'


def _fp8(raw: Raw, _config: ModelConfig) -> Iterator[str]:
    """Yield why vLLM refuses an FP8 section (texts): activation scheme, block size."""
    scheme, block = raw["activation_scheme"], raw.get("weight_block_size")
    if scheme not in _SCHEMES:
        yield f'"activation_scheme" {_shown(scheme)}: it is static or dynamic'
    if isinstance(block, list) and len(block) != 2:
        yield f'"weight_block_size" has {len(block)} sizes, not 2'
    if block is not None and scheme == "static":
        yield '"weight_block_size" with "activation_scheme" static: blocks need dynamic activations'


def _inc(raw: Raw, config: ModelConfig) -> Iterator[str]:
    """Yield why vLLM refuses an AutoRound section (texts): packing, symmetry, group size."""
    packing = raw.get("packing_format") or _INC_FORMATS[0]
    if packing not in _INC_FORMATS:
        yield f'"packing_format" {_shown(packing)}: it is one of {", ".join(_INC_FORMATS)}'
    if raw.get("data_type", "int") != "int":
        return
    if packing not in _INC_INTEGERS:
        yield f'"packing_format" {packing}: integers are packed as {" or ".join(_INC_INTEGERS)}'
    bits, group = raw["bits"], raw["group_size"]
    if packing != _INC_INTEGERS[0] or bits not in _PACKED_BITS or raw.get("extra_config"):
        return
    if raw.get("sym") is False:
        yield f'"bits" {bits} with "sym" false: there are kernels for 4 and 8 symmetric bits'
    if _is_whole(group) and group not in _GROUP_SIZES and _is_dense(config):
        yield _no_kernel(group)


def _compressed(raw: Raw, _config: ModelConfig) -> Iterator[str]:
    """Yield why vLLM refuses a compressed-tensors section (texts): sparsity, groups of linear layers."""
    sparsity = raw.get("sparsity_config")
    if isinstance(sparsity, Mapping) and sparsity.get("targets"):
        yield '"sparsity_config": sparse weights are no longer supported'
    for group in weight_groups(raw):
        weights = group.get("weights")
        targets = group.get("targets")
        if isinstance(weights, Mapping) and isinstance(targets, list) and "Linear" in targets:
            yield from _compressed_group(weights, group, str(group.get("format") or raw.get("format")))


def _compressed_group(weights: Raw, group: Raw, stored: str) -> Iterator[str]:
    """Yield why no scheme serves linear layers (texts): CompressedTensorsConfig._get_scheme_from_parts."""
    inputs, bits = group.get("input_activations"), weights.get("num_bits")
    if weights.get("actorder") in ("group", "dynamic"):
        yield f'"actorder" {weights["actorder"]}: the order of activations is no longer supported'
    if weights.get("type", "int") != "int" or group.get("output_activations") is not None:
        return
    if inputs is None and stored != "pack-quantized":
        yield f'"format" {stored}: integers without quantized activations are stored as pack-quantized'
    if stored != "int-quantized" or not isinstance(inputs, Mapping) or bits != 8:
        return
    if weights.get("symmetric") is False or weights.get("strategy") == "group":
        yield f"{bits} bits {_kind(weights)}: with {stored} there are kernels for symmetric ones by channel"


def _modelopt(raw: Raw, config: ModelConfig) -> Iterator[str]:
    """Yield why vLLM refuses a ModelOpt section (texts): no algorithm, an unknown one, no layers."""
    algorithm = raw.get("quant_algo")
    if not algorithm:
        yield 'it does not say "quant_algo"'
        return
    name, inner = str(algorithm).upper(), raw.get("quantization")
    producer = raw.get("producer")
    by_modelopt = isinstance(producer, Mapping) and producer.get("name") == "modelopt"
    if isinstance(inner, Mapping) and (by_modelopt or "modelopt_quant_config" in inner):
        if inner.get("quant_algo") is not None and name not in _BESIDE:
            yield f'"quant_algo" {name} beside config.json: there it is one of {", ".join(_BESIDE)}'
        return
    known = [
        key.partition(" ")[2] for key in load_catalog().names("checkpoints") if key.startswith("modelopt ")
    ]
    if name not in known:
        yield f'"quant_algo" {name}: it is one of {", ".join(known)}'
    layers = raw.get("quantized_layers", config.hf_quant_config.get("quantization"))
    if name == "MIXED_PRECISION" and not layers:
        yield '"quant_algo" MIXED_PRECISION without "quantized_layers"'


_RULES: Mapping[str, Callable[[Raw, ModelConfig], Iterator[str]]] = MappingProxyType(
    {
        "auto_awq": _awq,
        "auto_gptq": _gptq,
        "compressed-tensors": _compressed,
        "fp8": _fp8,
        "inc": _inc,
        "modelopt": _modelopt,
    }
)


def _no_kernel(group: int) -> str:
    """Return the text that no kernel has this group size, with those that have one."""
    return f'"group_size" {group}: there are kernels for {", ".join(map(str, _GROUP_SIZES))}'


def _kind(weights: Raw) -> str:
    """Return symmetry and strategy of a group's weights as words, such as "asymmetric by channel"."""
    words = ["asymmetric"] if weights.get("symmetric") is False else []
    return " ".join([*words, f"by {weights.get('strategy') or 'tensor'}"])


def _shown(value: Any) -> str:
    """Return a JSON value as text; "a list" for a list or an object."""
    return (
        {True: "true", False: "false", None: "null"}.get(value, str(value)) if _is_plain(value) else "a list"
    )


def _is_plain(value: Any) -> bool:
    """Return whether the value is None, a string, a boolean or a number."""
    return value is None or isinstance(value, str | int | float)


def _is_whole(value: Any) -> bool:
    """Return whether the value is an int and no boolean."""
    return isinstance(value, int) and not isinstance(value, bool)


def _is_dense(config: ModelConfig) -> bool:
    """Return whether the model certainly has no routed experts; False if unknown."""
    return has_experts(config) is False
