"""Read the LoRA adapters of a start from their files, and find why the engine would refuse them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nim.regular_files import read_bytes

CONFIG = "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin", "adapter_model.pt")
_REQUIRED = ("r", "lora_alpha", "target_modules")
# Kinds of adapter that vLLM 0.32 does not have: lora/peft_helper.py, PEFTHelper._validate_features.
_UNSUPPORTED: Mapping[str, str] = {
    "use_dora": "it is a DoRA",
    "lora_bias": "it has biases (lora_bias)",
    "alora_invocation_tokens": "it is an activated LoRA (alora_invocation_tokens)",
    "layer_replication": "it repeats layers (layer_replication)",
    "use_bdlora": "it is a block-diagonal LoRA (use_bdlora)",
    "use_qalora": "it is a QALoRA",
}
_PLAIN_INITS = frozenset({"gaussian", "eva", "orthogonal", "mica", "lora_ga"})
_SAVED_WHOLE = frozenset({"classifier", "score"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """One adapter. `rank` is the largest of its ranks, `base` the model that it was trained on.

    `fault` is why the engine would not load it; `is_missing` says that its directory does not exist. None is
    unknown: only the engine reads an adapter of the hub.
    """

    name: str
    path: str
    rank: int | None = None
    base: str | None = None
    fault: str | None = None
    is_missing: bool = False


def read_adapters(modules: Sequence[Any]) -> tuple[Adapter, ...]:
    """Return the adapters of `--lora-modules`, each `name=path` or a JSON object."""
    return tuple(_read(name, path) for name, path in map(_named, modules))


def _named(module: Any) -> tuple[str, str]:
    """Return name and path of an adapter, written as `name=path` or a JSON object."""
    if isinstance(module, Mapping):
        return str(module.get("name", "")), str(module.get("path", ""))
    name, _, path = str(module).partition("=")
    return name, path


def _read(name: str, path: str) -> Adapter:
    """Return an adapter as far as its files describe it."""
    directory = Path(path).expanduser()
    if not directory.is_dir():
        # A relative path that is not there is a repository of the hub to the engine.
        return Adapter(name=name, path=path, is_missing=path.startswith(("/", "~")))
    try:
        config = json.loads(read_bytes(directory / CONFIG))
    except OSError:
        return Adapter(name=name, path=path, fault=f"it has no {CONFIG}")
    except ValueError as error:
        return Adapter(name=name, path=path, fault=f"its {CONFIG} is not JSON ({error})")
    if not isinstance(config, dict):
        return Adapter(name=name, path=path, fault=f"its {CONFIG} is not a JSON object")
    return Adapter(
        name=name,
        path=path,
        rank=_rank(config),
        base=_word(config.get("base_model_name_or_path")),
        fault=next(_faults(config, directory), None),
    )


def _faults(config: Mapping[str, Any], directory: Path) -> Iterator[str]:
    """Yield why the engine would refuse an adapter's configuration."""
    if kind := _word(config.get("peft_type")):
        yield from [f"it is no LoRA (peft_type {kind})"] if kind.upper() != "LORA" else []
    missing = [name for name in _REQUIRED if name not in config]
    yield from [f'its {CONFIG} has no "{missing[0]}"'] if missing else []
    yield from (why for name, why in _UNSUPPORTED.items() if config.get(name))
    if (bias := config.get("bias", "none")) != "none":
        yield f"it has biases (bias {bias})"
    init = config.get("init_lora_weights", True)
    if isinstance(init, str) and init.lower() not in _PLAIN_INITS:
        yield f"it changes the model's own weights (init_lora_weights {init})"
    whole = set(map(str, config.get("modules_to_save") or ())) - _SAVED_WHOLE
    yield from [f"it brings whole modules (modules_to_save {min(whole)})"] if whole else []
    if not any((directory / name).is_file() for name in WEIGHTS):
        yield f"it has no weights ({WEIGHTS[0]})"


def _rank(config: Mapping[str, Any]) -> int | None:
    """Return the largest rank; None if it is not stated."""
    pattern = config.get("rank_pattern")
    ranks = [config.get("r"), *(pattern.values() if isinstance(pattern, Mapping) else ())]
    whole = [rank for rank in ranks if isinstance(rank, int) and not isinstance(rank, bool)]
    return max(whole) if whole else None


def _word(value: Any) -> str | None:
    """Return the value if it is a non-empty string, else None."""
    return value if isinstance(value, str) and value else None
