"""Convert Mistral's `params.json` into the configuration that the engine makes of it."""

from collections.abc import Mapping
from typing import Any

from nim.models.config.model_config import as_size

_NAMES = {
    "dim": "hidden_size",
    "norm_eps": "rms_norm_eps",
    "n_kv_heads": "num_key_value_heads",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "hidden_dim": "intermediate_size",
    "tied_embeddings": "tie_word_embeddings",
    "activation": "hidden_act",
}
_EXPERTS = {
    "num_experts": "n_routed_experts",
    "num_shared_experts": "n_shared_experts",
    "expert_hidden_dim": "moe_intermediate_size",
    "num_experts_per_tok": "num_experts_per_tok",
    "first_k_dense_replace": "first_k_dense_replace",
    "route_every_n": "moe_layer_freq",
    "num_expert_groups": "n_group",
    "num_expert_groups_per_tok": "topk_group",
}
_ENCODER_NAMES = {
    "dim": "d_model",
    "n_layers": "encoder_layers",
    "n_heads": "encoder_attention_heads",
    "head_dim": "head_dim",
    "hidden_dim": "encoder_ffn_dim",
    "max_source_positions": "max_source_positions",
}
_LONGEST = 128_000  # where neither file names a length


def as_config(params: Mapping[str, Any], config: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return `params.json` as the dict of a `config.json`, as the engine converts it.

    `config` is the `config.json` beside it: it fills in what `params.json` leaves out.
    """
    found = {_NAMES.get(name, name): value for name, value in params.items()}
    found.setdefault("model_type", "transformer")
    found.setdefault("max_position_embeddings", _length_of(config) or _LONGEST)
    found.setdefault("max_seq_len", found["max_position_embeddings"])
    found |= _experts(found) | _window(found) | _quantization(found) | _yarn(found)
    found["architectures"] = [_architecture(found)]
    if found["architectures"] == ["MistralLarge3ForCausalLM"]:
        found["model_type"] = "deepseek_v3"
    found = _composed(found)
    return {**(config or {}), **found}


def _length_of(config: Mapping[str, Any] | None) -> int | None:
    """Return the `max_position_embeddings` of a parsed `config.json`; None without one."""
    text = (config or {}).get("text_config")
    inner = text if isinstance(text, Mapping) else config or {}
    return as_size(inner.get("max_position_embeddings"))


def _experts(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the expert keys to add as a dict; {} without experts (latent attention counts as one expert)."""
    moe = found.get("moe")
    if not moe and found.get("qk_nope_head_dim"):
        moe = {"num_experts": 1, "num_shared_experts": 1, "num_experts_per_tok": 1}
        moe |= {"first_k_dense_replace": found.get("num_hidden_layers")}
        moe |= {"expert_hidden_dim": found.get("intermediate_size")}
    if not isinstance(moe, Mapping):
        return {}
    named = {name: moe[key] for key, name in _EXPERTS.items() if key in moe}
    if not moe.get("num_shared_experts"):
        named["num_local_experts"] = named.pop("n_routed_experts", None)
    return named | {"moe": dict(moe)}


def _architecture(found: Mapping[str, Any]) -> str:
    """Return the architecture's name that the engine assumes for the converted parameters."""
    if found.get("model_type") == "mamba":
        return "Mamba2ForCausalLM"
    moe = found.get("moe")
    if not isinstance(moe, Mapping):
        return "MistralForCausalLM"
    return "MistralLarge3ForCausalLM" if moe.get("num_shared_experts") else "MixtralForCausalLM"


def _window(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return `sliding_window` and `layer_types` made of the window or list of windows; {} without one."""
    window, layers = found.get("sliding_window"), as_size(found.get("num_hidden_layers")) or 0
    if isinstance(window, list) and window:
        words = ["full_attention" if one is None else "sliding_attention" for one in window]
        first = next((one for one in window if one is not None), None)
        return {"sliding_window": first, "layer_types": words * (layers // len(words))}
    if as_size(window) and not found.get("layer_types"):
        return {"layer_types": ["sliding_attention"] * layers}
    return {}


def _quantization(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dict with `quantization_config` in the usual form; {} if not quantized."""
    raw = found.get("quantization")
    if not isinstance(raw, Mapping) or not raw:
        return {}
    if raw.get("qformat_weight") == "fp8_e4m3":
        scheme = "dynamic" if raw.get("qscheme_act") == "NO_SCALES" else "static"
        return {"quantization_config": {"quant_method": "fp8", "activation_scheme": scheme}}
    return {"quantization_config": {**raw, "quant_method": raw.get("quant_method", "")}}


def _yarn(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dict with YaRN's `rope_parameters`; {} without YaRN."""
    yarn = found.get("yarn")
    return {"rope_parameters": {"rope_type": "yarn", **yarn}} if isinstance(yarn, Mapping) and yarn else {}


def _composed(found: dict[str, Any]) -> dict[str, Any]:
    """Return the dict nested as `text_config` if there is a vision or audio part; else as it is."""
    multimodal = found.get("multimodal")
    parts = multimodal if isinstance(multimodal, Mapping) else {}
    vision = parts if parts.get("vision_encoder_args") else found.get("vision_encoder")
    audio = parts.get("whisper_model_args")
    if not vision and not audio:
        return found
    kind, architecture = ("pixtral", "PixtralForConditionalGeneration")
    if audio:
        encoder = audio.get("encoder_args") or {} if isinstance(audio, Mapping) else {}
        name = "VoxtralRealtimeGeneration" if encoder.get("causal") else "VoxtralForConditionalGeneration"
        kind, architecture = ("voxtral", name)
    composed: dict[str, Any] = {"model_type": kind, "architectures": [architecture], "text_config": found}
    composed["audio_config" if audio else "vision_config"] = _audio(audio) if audio else _vision(vision)
    if "quantization_config" in found:
        composed["quantization_config"] = found["quantization_config"]
    return composed


def _vision(vision: object) -> dict[str, Any]:
    """Return the dict of `vision_config` for Pixtral."""
    return {"model_type": "pixtral", **(vision if isinstance(vision, Mapping) else {})}


def _audio(whisper: object) -> dict[str, Any]:
    """Return the dict of `audio_config` under transformers' names; absent values are None."""
    parts = whisper if isinstance(whisper, Mapping) else {}
    encoder, below = parts.get("encoder_args") or {}, parts.get("downsample_args") or {}
    named = {name: encoder.get(key) for key, name in _ENCODER_NAMES.items()}
    mels = (encoder.get("audio_encoding_args") or {}).get("num_mel_bins")
    return {
        "model_type": "mistral_whisper",
        "num_mel_bins": mels,
        "downsample_factor": below.get("downsample_factor"),
        **named,
    }
