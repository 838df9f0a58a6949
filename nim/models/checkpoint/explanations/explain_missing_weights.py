"""Explain why the engine would load no weights, or not all: each cause with what to type next."""

from collections.abc import Collection, Mapping
from pathlib import PurePosixPath
from typing import Any

from nim.models.checkpoint.explanations.detect_unsupported_formats import find_format, format_hint
from nim.models.checkpoint.explanations.download_again_command import Origin
from nim.models.checkpoint.explanations.explain_adapter import ADAPTER_CONFIG, explain_adapter
from nim.models.checkpoint.explanations.explain_wrong_path import WHOLE_CACHE
from nim.models.checkpoint.findings import Fault, Finding
from nim.models.checkpoint.list_model_directory import ModelFiles, unfinished
from nim.models.checkpoint.select_weight_files import (
    AUTO,
    WEIGHTS,
    WeightSet,
    is_training_state,
    local_weights,
    matches_any,
)

_MOST_NAMED = 3


def missing_files(files: ModelFiles, missing: Collection[str], of: str, origin: Origin) -> Finding:
    """Return the `Finding` that the files `missing`, which `of` names, are not in the directory."""
    names = sorted(missing)
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    listed = ", ".join(names[:_MOST_NAMED]) + more
    broken = files.broken.intersection(names)
    why, hint = ("is not there" if len(names) == 1 else "are not there"), origin.download
    if broken:
        why, hint = f"{'is a link' if len(names) == 1 else 'are links'} to what is not there", WHOLE_CACHE
    elif partial := unfinished(files):
        why += f"; '{partial[0]}' is a download that was not finished"
    message = f"cannot load '{files.directory}': the download is not complete: of {of}, {listed} {why}"
    return Finding(fault=Fault.MISSING, message=message, hint=hint)


def no_weights(files: ModelFiles, found: WeightSet, asked_format: str, origin: Origin) -> Finding:
    """Return the `Finding` that the engine would load no file of the directory, with the cause."""
    if broken := [name for name in files.broken if matches_any(name, WEIGHTS)]:
        return missing_files(files, broken, "the weights", origin)
    if ADAPTER_CONFIG in files.names:
        return adapter(files)
    why, hint = _why(files, found, asked_format, origin)
    message = f"cannot load '{files.directory}': it has no weights that vLLM loads{why}"
    return Finding(fault=Fault.MISSING, message=message, hint=hint)


def adapter(files: ModelFiles) -> Finding:
    """Return the `Finding` that the directory holds an adapter although it has a config.json."""
    what, hint = explain_adapter(files.directory)
    message = f"cannot load '{files.directory}': {what}"
    return Finding(fault=Fault.DAMAGED, message=message, hint=hint)


def adapter_beside(files: ModelFiles, name: str) -> Finding:
    """Return the `Finding` that adapter file `name` lies among the weights and would be loaded as one."""
    message = f"cannot load '{files.directory}': vLLM would load {name} as one of the model's own weights"
    hint = f"mv '{files.directory / name}' to another directory"
    return Finding(fault=Fault.DAMAGED, message=message, hint=hint)


def other_engine(files: ModelFiles, config: Mapping[str, Any]) -> Finding | None:
    """Return the `Finding` that a configuration is TensorRT-LLM's or MLX's; None if it is neither."""
    if is_mlx(config):
        message = f"cannot load '{files.directory}': its weights are quantized by MLX, for Apple silicon"
        hint = "NIM_MODEL_PATH=hf://… the model that was converted, or its AWQ, GPTQ or FP8 version"
        return Finding(fault=Fault.DAMAGED, message=message, hint=hint)
    is_engine = "pretrained_config" in config and {"build_config", "builder_config"} & set(config)
    is_checkpoint = {"architecture", "mapping"} <= set(config) and "architectures" not in config
    if not (is_engine or is_checkpoint):
        return None
    what = "a TensorRT engine" if is_engine else "a checkpoint in TensorRT-LLM's format"
    message = f"cannot load '{files.directory}': it holds {what}, which only TensorRT-LLM runs"
    hint = "NIM_MODEL_PATH=hf://… the checkpoint that it was made from"
    return Finding(fault=Fault.DAMAGED, message=message, hint=hint)


def is_mlx(config: Mapping[str, Any]) -> bool:
    """Return whether the configuration shows MLX quantization: groups and bits, but no method."""
    said = config.get("quantization")
    has_groups = isinstance(said, Mapping) and {"group_size", "bits"} <= set(said)
    own = config.get("quantization_config")
    return has_groups and not (isinstance(own, Mapping) and own.get("quant_method"))


def _why(files: ModelFiles, found: WeightSet, asked_format: str, origin: Origin) -> tuple[str, str]:
    """Return the cause, as the end of a sentence ("" if unknown), and the hint of what to type."""
    directory = files.directory
    if found.load_format == "mistral" and asked_format == AUTO and _loadable(files, "hf"):
        return (
            ": Mistral's own files below it make the engine look for consolidated*.safetensors at the top",
            "--load-format hf",
        )
    if asked_format != AUTO and _loadable(files, AUTO):
        return f" with --load-format {asked_format}", f"--load-format {AUTO}"
    if partial := unfinished(files):
        return f": the download was not finished ({partial[0]})", origin.download
    if known := find_format(files.names):
        return f"; it holds {known[0].what} ({known[1]})", format_hint(known[0], directory / known[1])
    if below := _below(files):
        return (
            f": they lie in '{below}', and it loads only those beside config.json",
            f"ls '{directory}/{below}'",
        )
    if state := [name for name in files.names if is_training_state(name)]:
        return f": '{min(state)}' is the state of a training run", origin.download
    return "", origin.download


def _loadable(files: ModelFiles, load_format: str) -> bool:
    """Return whether vLLM would load any of the files with this load format."""
    found = local_weights(files.names, load_format)
    return bool(found and found.files)


def _below(files: ModelFiles) -> str | None:
    """Return the first subdirectory with .safetensors or .bin files; None if there is none."""
    names = (
        name for name in sorted(files.names) if "/" in name and matches_any(name, ("*.safetensors", "*.bin"))
    )
    return next((str(PurePosixPath(name).parent) for name in names), None)
