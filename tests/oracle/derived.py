"""Checkpoints of the shipped manifests whose configurations follow from those of published models.

A checkpoint that was trained further has the configuration of its base; a quantized one has that of the model
that it was made of, with a quantization as the publisher's checkpoints of that format have it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nim.data_paths import ROOT

PLACE = ROOT / "build" / "oracle" / "derived"
Values = Mapping[str, Any]
_LLAMA_8B, _LLAMA_70B = "meta-llama/Meta-Llama-3.1-8B", "meta-llama/Meta-Llama-3.1-70B"
_QWEN_8B, _QWEN_480B = "Qwen/Qwen3-8B", "Qwen/Qwen3-Coder-480B-A35B-Instruct"
_QWEN_VL, _QWEN_36 = "Qwen/Qwen3-VL-30B-A3B-Instruct", "nvidia/Qwen3.6-35B-A3B-NVFP4"
_QWEN_32B = {
    "hidden_size": 5120,
    "intermediate_size": 25600,
    "num_attention_heads": 64,
    "num_hidden_layers": 64,
}
_QUANTIZATION = ("quantization_config", "compression_config")


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """A checkpoint: the published model whose configuration it has, but for these fields and quantization.

    `modelopt` is the content of `quantization` in `hf_quant_config.json`.
    """

    base: str
    fields: Values = field(default_factory=dict)
    quantization: Values | None = None
    modelopt: Values | None = None


def _fp8(*left_out: str) -> Values:
    return {
        "quant_method": "fp8",
        "activation_scheme": "dynamic",
        "fmt": "e4m3",
        "weight_block_size": [128, 128],
        "modules_to_not_convert": list(left_out),
    }


def _gates(layers: int, prefix: str = "model") -> tuple[str, ...]:
    return tuple(f"{prefix}.layers.{layer}.mlp.gate" for layer in range(layers))


def _modelopt(algorithm: str) -> Values:
    group = {"group_size": 16} if algorithm == "NVFP4" else {}
    return {"quant_algo": algorithm, "kv_cache_quant_algo": "FP8", "exclude_modules": ["lm_head"], **group}


def _tower_of_qwen() -> tuple[str, ...]:
    parts = ("attn.qkv", "attn.proj", "mlp.linear_fc1", "mlp.linear_fc2")
    blocks = [f"model.visual.blocks.{block}.{part}" for block in range(27) for part in parts]
    mergers = ["merger", *(f"deepstack_merger_list.{index}" for index in range(3))]
    return (*blocks, *(f"model.visual.{name}.linear_fc{n}" for name in mergers for n in (1, 2)))


_INT4_EXPERTS = {
    "quant_method": "compressed-tensors",
    "format": "pack-quantized",
    "quantization_status": "compressed",
    "ignore": [
        "re:.*lm_head.*",
        "re:.*self_attn.*",
        "re:.*shared_experts.*",
        r"re:.*mlp\.(gate|up|gate_up|down)_proj.*",
        "re:.*vision_tower.*",
        "re:.*mm_projector.*",
    ],
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {
                "num_bits": 4,
                "type": "int",
                "strategy": "group",
                "group_size": 32,
                "symmetric": True,
            },
        }
    },
}
CHECKPOINTS: Mapping[str, Derived] = {
    "MiniMaxAI/MiniMax-M2.7": Derived(
        base="nvidia/MiniMax-M2.7-NVFP4", quantization=_fp8("gate", "e_score_correction_bias", "lm_head")
    ),
    "Qwen/Qwen3-32B": Derived(base=_QWEN_8B, fields=_QWEN_32B),
    "Qwen/Qwen3-32B-FP8": Derived(base=_QWEN_8B, fields=_QWEN_32B, quantization=_fp8("lm_head")),
    "Qwen/Qwen3-8B-FP8": Derived(base=_QWEN_8B, quantization=_fp8("lm_head")),
    "Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8": Derived(
        base=_QWEN_480B, quantization=_fp8("lm_head", *_gates(62))
    ),
    "Qwen/Qwen3-VL-30B-A3B-Instruct-FP8": Derived(
        base=_QWEN_VL,
        quantization=_fp8("lm_head", *_gates(48, "model.language_model"), *_tower_of_qwen()),
    ),
    "Qwen/Qwen3.6-35B-A3B": Derived(base=_QWEN_36),
    "deepseek-ai/DeepSeek-V3.2": Derived(base="nvidia/DeepSeek-V3.2-NVFP4", quantization=_fp8()),
    "google/gemma-4-26B-A4B-it": Derived(base="google/gemma-4-26B-A4B"),
    "meta-llama/Llama-3.1-8B-Instruct": Derived(base=_LLAMA_8B),
    "meta-llama/Llama-3.3-70B-Instruct": Derived(base=_LLAMA_70B),
    "moonshotai/Kimi-K2.6": Derived(base="nvidia/Kimi-K2.6-NVFP4", quantization=_INT4_EXPERTS),
    "nvidia/Llama-3.1-8B-Instruct-FP8": Derived(base=_LLAMA_8B, modelopt=_modelopt("FP8")),
    "nvidia/Llama-3.1-8B-Instruct-NVFP4": Derived(base=_LLAMA_8B, modelopt=_modelopt("NVFP4")),
    "nvidia/Llama-3.3-70B-Instruct-FP8": Derived(base=_LLAMA_70B, modelopt=_modelopt("FP8")),
    "nvidia/Llama-3.3-70B-Instruct-NVFP4": Derived(base=_LLAMA_70B, modelopt=_modelopt("NVFP4")),
}


def write_configuration(name: str, configs: Path) -> Path:
    """Write the files of a checkpoint, made of the published ones in `configs`; return their directory."""
    made, directory = CHECKPOINTS[name], PLACE / name.replace("/", "--")
    directory.mkdir(parents=True, exist_ok=True)
    published = json.loads(
        (configs / made.base.replace("/", "--") / "config.json").read_text(encoding="utf-8")
    )
    config = {**_without_quantization(published), **made.fields}
    if made.quantization is not None:
        config["quantization_config"] = made.quantization
    _write(directory / "config.json", config)
    if made.modelopt is not None:
        _write(
            directory / "hf_quant_config.json",
            {"producer": {"name": "modelopt"}, "quantization": made.modelopt},
        )
    return directory


def _without_quantization(values: Values) -> dict[str, Any]:
    return {
        name: _without_quantization(value) if name == "text_config" else value
        for name, value in values.items()
        if name not in _QUANTIZATION
    }


def _write(path: Path, values: Values) -> None:
    text = json.dumps(values, indent=1)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
