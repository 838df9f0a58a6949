"""The engine's rules on options that depend on the model or its GPU. What is not known refuses nothing."""

from collections.abc import Iterator, Mapping
from typing import Any

from nim.engine.supported_names_catalog import Feature, load_catalog
from nim.models.cache import default_batched_tokens
from nim.models.config.model_config import ModelConfig
from nim.models.supported_features import supports
from nim.models.types import LayerKind
from nim.options.rules.rule_types import Clash, Rule, Said, found

_MODEL = "config/model.py, ModelConfig"
_FP8_CHECKPOINTS = ("fp8", "modelopt", "modelopt_fp4", "modelopt_mxfp8")
_ATTENTION = {LayerKind.FULL, LayerKind.SLIDING, LayerKind.CHUNKED, LayerKind.HYBRID}
_WHOLE_IMAGES = ("bagel", "gemma3", "molmo2", "moondream3", "paligemma")
_DTYPES = {"half": "float16", "float": "float32"} | {
    name: name for name in ("bfloat16", "float16", "float32")
}
_BLOCK = 16  # the least of get_supported_kernel_block_sizes, of which all others are multiples
_SMALLEST = {"count": 0}  # of other sizes of an item, 1


def _sequences(said: Said) -> Clash | None:
    """Return the Clash if --max-num-seqs exceeds the default tokens of a step; None otherwise."""
    sequences, tokens = said.number("max_num_seqs"), _step_tokens(said)
    if sequences is None or tokens is None or sequences <= tokens or said.given("max_num_batched_tokens"):
        return None
    message = f"{said.flag('max_num_seqs')}: it is more than the tokens of a step, {tokens} on this GPU"
    enough = said.write("max_num_batched_tokens", f"{sequences:.0f}", "max_num_batched_tokens")
    return found(message, f"{said.write('max_num_seqs', tokens, 'max_num_seqs')}, or {enough}")


def _step_tokens(said: Said) -> int | None:
    """Return the engine's default of --max-num-batched-tokens on this GPU; None if unknown.

    Prompts that are not split raise it to the context, and images that are not split to their own tokens.
    """
    gpu, model = said.gpu, said.model
    if gpu is None or gpu.memory_total_bytes is None or model is None or _keeps_images_whole(model.config):
        return None
    tokens = default_batched_tokens(gpu.memory_total_bytes, gpu.name or "")
    tokens *= 2 if said.get("performance_mode") == "throughput" else 1
    split = said.get("enable_chunked_prefill") is not False and model.reading.generates
    if split and not model.config.root.flag("is_encoder_decoder"):
        return tokens
    context = said.number("max_model_len") or (model.reading.context and model.reading.context.limit)
    return None if not context else max(tokens, int(context))


def _keeps_images_whole(config: ModelConfig) -> bool:
    """Return True if the model may need bidirectional attention within images."""
    named = config.model_type in _WHOLE_IMAGES or config.get("use_bidirectional_attention") == "vision"
    return named or config.root.flag("is_mm_prefix_lm") or config.root.flag("vision_n_layers")


def _takes_media(said: Said) -> bool | None:
    """Return whether the model takes images, video or audio; None if unknown."""
    return supports(said.model.config, Feature.MULTIMODAL, _implementation(said)) if said.model else None


def _implementation(said: Said) -> str:
    """Return the value of --model-impl; "auto" if it is not set."""
    return str(said.get("model_impl") or "auto")


def _cache_type(said: Said) -> Clash | None:
    """Return the Clash of --kv-cache-dtype fp8_e5m2 with an FP8 checkpoint; None otherwise."""
    stored = said.model.reading.quantization if said.model else None
    if said.get("kv_cache_dtype") != "fp8_e5m2" or stored is None:
        return None
    if stored.method not in _FP8_CHECKPOINTS and stored.kv_cache_dtype is None:
        return None
    message = f"{said.flag('kv_cache_dtype')}: the checkpoint is quantized by {stored.method}"
    return found(message, said.write("kv_cache_dtype", "fp8", "kv_cache_dtype"))


def _runner(said: Said) -> Clash | None:
    """Return the Clash of --runner with a model class that does not serve it; None otherwise."""
    runner, model = said.get("runner"), said.model
    if model is None or not said.given("runner"):
        return None
    pools, generates = (
        supports(model.config, feature, _implementation(said))
        for feature in (Feature.POOLING, Feature.GENERATE)
    )
    name = model.reading.architecture
    if runner in ("generate", "draft") and pools and generates is False:
        return found(f"{said.flag('runner')}: {name} is a pooling model", "--runner pooling")
    if runner == "pooling" and said.get("convert") == "none" and pools is False:
        message = f"{said.flag('runner')} with {said.flag('convert')}: {name} generates"
        return found(message, "--convert embed")
    return None


def _backend(said: Said) -> Clash | None:
    """Return the Clash of --attention-backend with the model's attention or cache type; or None."""
    named = said.get("attention_backend") or said.item("attention_config", "backend")
    backend, kind = load_catalog().attention_backend(str(named or "").upper()), attention_kind(said)
    if backend is None or kind is None or said.gpu is None:  # the CPU build has its own, whatever is named
        return None
    origin = said.flag("attention_backend" if said.given("attention_backend") else "attention_config")
    if backend.kind != kind:
        message = f"{origin}: it is for {backend.kind}, and the model has {kind}"
        return found(message, "without it: the engine chooses one")
    cache = said.get("kv_cache_dtype")
    if cache in (None, "auto") or cache in backend.cache_dtypes:
        return None
    return found(f"{origin} with {said.flag('kv_cache_dtype')}", f"one of {', '.join(backend.cache_dtypes)}")


def _blocks(said: Said) -> Clash | None:
    """Return the Clash of a --block-size that is no multiple of 16; None otherwise."""
    size = said.number("block_size")
    if size is None or size % _BLOCK == 0 or said.gpu is None or attention_kind(said) is None:
        return None
    nearest = max(round(size / _BLOCK), 1) * _BLOCK
    message = f"{said.flag('block_size')}: it is no multiple of {_BLOCK}"
    return found(message, said.write("block_size", nearest, "block_size"))


def _dtype(said: Said) -> Clash | None:
    """Return the Clash of --dtype with the model or its quantization; None otherwise."""
    dtype = _DTYPES.get(str(said.get("dtype")), str(said.get("dtype")))
    if said.model is None or dtype not in _DTYPES.values():
        return None
    reading, catalog = said.model.reading, load_catalog()
    if dtype == "float16" and reading.model_type in catalog.names("without_float16"):
        message = f"{said.flag('dtype')}: {reading.model_type} is unstable in it"
        return found(message, said.write("dtype", "bfloat16", "dtype"))
    stored, asked = reading.quantization, said.get("quantization")
    method = catalog.quantization(str((stored and stored.method) or asked or ""))
    if method is None or dtype in method.dtypes or (method.online and stored is None):
        return None
    return found(f"{said.flag('dtype')} with weights by {method.name}", f"one of {', '.join(method.dtypes)}")


def attention_kind(said: Said) -> str | None:
    """Return "mla" or "attention", the model's kind of attention; None if unknown or mixed."""
    layers = said.model.reading.layers if said.model else None
    caches = [cache for layer in layers or () for cache in layer.caches]
    if not caches or any(cache.kind in (LayerKind.COMPRESSED, LayerKind.CROSS) for cache in caches):
        return None
    if any(cache.dtype == "uint8" for cache in caches):
        return None
    latent = any(cache.kind is LayerKind.MLA for cache in caches)
    plain = any(cache.kind in _ATTENTION for cache in caches)
    return None if latent == plain else "mla" if latent else "attention"


def _media(said: Said) -> Clash | None:
    """Return the Clash of a bad count in --limit-mm-per-prompt; None otherwise."""
    for name, limit in said.items("limit_mm_per_prompt").items():
        for words in _limit_faults(limit, bounded=bool(_takes_media(said))):
            flag = said.flag("limit_mm_per_prompt")
            return found(f'"{name}" of {flag}: {words}', f"--limit-mm-per-prompt.{name} 0 for none")
    return None


def _limit_faults(limit: Any, *, bounded: bool) -> Iterator[str]:
    """Yield a text for each count in a media limit (number or dict) that is not whole or too small."""
    items = limit if isinstance(limit, Mapping) else {"count": limit}
    for key, value in items.items():
        if not _is_whole(value):
            yield f"{value} is not a whole number"
        elif bounded and int(value) < (least := _SMALLEST.get(key, 1)):
            yield f"{key} {value} is below {least}"


def _is_whole(value: Any) -> bool:
    """Return True if the value is a whole number: int, 3.0 or digits as text."""
    if isinstance(value, str):
        return value.strip().lstrip("+-").isdecimal()
    return isinstance(value, int) or (isinstance(value, float) and value.is_integer())


MODEL: tuple[Rule, ...] = (
    Rule(source="config/scheduler.py, SchedulerConfig.verify_max_model_len", find=_sequences),
    Rule(source="model_executor/layers/attention/attention.py, _init_kv_cache_quant", find=_cache_type),
    Rule(source=f"{_MODEL}.__post_init__", find=_runner),
    Rule(source="v1/attention/backend.py, AttentionBackend.validate_configuration", find=_backend),
    Rule(source="v1/attention/backend.py, AttentionBackend.supports_block_size", find=_blocks),
    Rule(source="config/vllm.py, VllmConfig._get_quantization_config; config/model.py", find=_dtype),
    Rule(source="config/multimodal.py, MultiModalConfig._validate_limit_per_prompt", find=_media),
)
