"""Explain how to serve an adapter whose directory was given as the model."""

from pathlib import Path
from typing import Any

from nim.errors import WeightsError
from nim.models.checkpoint.explanations.download_again_command import origin_of
from nim.models.checkpoint.list_model_directory import read_config

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
# vLLM's own limit, above which --max-lora-rank is needed, and the limits that it can be raised to.
LORA_RANK = 16
LORA_RANKS = (32, 64, 128, 256, 320, 512)


def explain_adapter(directory: Path) -> tuple[str, str]:
    """Return what adapter a directory holds (a sentence) and the settings that serve it; reads its config."""
    config = _read(directory)
    base = str(config.get("base_model_name_or_path") or "")
    model = base if base.startswith(("/", ".")) else f"hf://{base or '… its base model'}"
    kind = str(config.get("peft_type") or "LORA").upper()
    of = f" for {base}" if base else ""
    if kind != "LORA":
        return f"it is an adapter{of} of the kind {kind}, and vLLM loads LoRA only", f"NIM_MODEL_PATH={model}"
    flags = f"--enable-lora --lora-modules {directory.name}={directory}{_rank_flag(config.get('r'))}"
    return f"it is a LoRA adapter{of}, not a model", f'NIM_MODEL_PATH={model} NIM_PASSTHROUGH_ARGS="{flags}"'


def _rank_flag(rank: object) -> str:
    """Return " --max-lora-rank N" for a rank above vLLM's default limit; else ""."""
    if not isinstance(rank, int) or rank <= LORA_RANK:
        return ""
    return f" --max-lora-rank {next((limit for limit in LORA_RANKS if limit >= rank), rank)}"


def _read(directory: Path) -> dict[str, Any]:
    """Return the directory's adapter_config.json as a dict; {} if it is missing or unreadable."""
    try:
        return read_config(directory / ADAPTER_CONFIG, origin_of(directory))
    except WeightsError:
        return {}
