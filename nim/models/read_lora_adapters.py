"""Read the LoRA adapters of `--lora-modules` from disk, and record why the engine would refuse each."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any

from nim.frozen_dataclass import frozen_dataclass
from nim.models.config.model_config import as_integer
from nim.read_regular_file import read_bytes

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
_MOST_SHOWN = 40
_PLAIN_INITS = frozenset({"gaussian", "eva", "orthogonal", "mica", "lora_ga"})
_SAVED_WHOLE = frozenset({"classifier", "score"})


def adapter_directories(source: Path, name: str) -> Iterator[tuple[str, Path]]:
    """Yield (name, directory) of the adapters in a source, by name; OSError if it is unreadable.

    Each directory is one, and so is the source, under `name`, if it has an adapter's configuration itself.
    Names that begin with a dot are left out: volumes of Kubernetes keep their versions under such names.
    """
    with os.scandir(source) as entries:
        found = list(entries)
    names = {entry.name for entry in found if not entry.name.startswith(".") and _is_directory(entry)}
    single = {name} if any(entry.name == CONFIG for entry in found) else set()
    for one in sorted(names | single):
        if one.isprintable():
            yield one, source / one if one in names else source


def _is_directory(entry: os.DirEntry[str]) -> bool:
    """Return whether a directory entry is a directory, links followed; False if that cannot be found out."""
    try:
        return entry.is_dir()
    except OSError:
        return False


@frozen_dataclass
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
    """Return a tuple, an `Adapter` per entry of `--lora-modules`, read from disk; no fault is raised."""
    return tuple(_read(name, path) for name, path in map(_named, modules))


def is_of_this_machine(path: str) -> bool:
    """Return whether the text can only be a local path, by its form; org/name may be a hub repository."""
    return path.startswith(("/", "~", ".")) or path.count("/") > 1


def _named(module: Any) -> tuple[str, str]:
    """Return (name, path) of an entry of `--lora-modules`: `name=path` or a JSON object."""
    if isinstance(module, Mapping):
        return str(module.get("name", "")), str(module.get("path", ""))
    name, _, path = str(module).partition("=")
    return name, path


def _read(name: str, path: str) -> Adapter:
    """Return the `Adapter` as far as files in its directory describe it; errors become its `fault`."""
    try:
        directory = Path(path).expanduser()
        if not directory.is_dir():
            return Adapter(name=name, path=path, is_missing=is_of_this_machine(path))
        config = json.loads(read_bytes(directory / CONFIG))
    except FileNotFoundError:
        return Adapter(name=name, path=path, fault=f"it has no {CONFIG}")
    except (OSError, RuntimeError, ValueError) as error:
        return Adapter(name=name, path=path, fault=f"{_unreadable(error)} ({error})")
    if not isinstance(config, dict):
        return Adapter(name=name, path=path, fault=f"its {CONFIG} is not a JSON object")
    return Adapter(
        name=name,
        path=path,
        rank=_rank(config),
        base=_word(config.get("base_model_name_or_path")),
        fault=next(_faults(config, directory), None),
    )


def _unreadable(error: Exception) -> str:
    """Return the words for an error: "its … is not JSON", or "… cannot be read"."""
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError | RecursionError):
        return f"its {CONFIG} is not JSON"
    return f"its {CONFIG} cannot be read"


def _faults(config: Mapping[str, Any], directory: Path) -> Iterator[str]:
    """Yield why the engine would refuse the adapter (texts), by its configuration and weight files."""
    if kind := _word(config.get("peft_type")):
        yield from [f"it is no LoRA (peft_type {kind})"] if kind.upper() != "LORA" else []
    missing = [name for name in _REQUIRED if name not in config]
    yield from [f'its {CONFIG} has no "{missing[0]}"'] if missing else _number_faults(config)
    yield from (why for name, why in _UNSUPPORTED.items() if config.get(name))
    if (bias := config.get("bias", "none")) != "none":
        yield f"it has biases (bias {bias})"
    init = config.get("init_lora_weights", True)
    if isinstance(init, str) and init.lower() not in _PLAIN_INITS:
        yield f"it changes the model's own weights (init_lora_weights {init})"
    yield from _saved(config.get("modules_to_save"))
    if not any((directory / name).is_file() for name in WEIGHTS):
        yield f"it has no weights ({WEIGHTS[0]})"


def _number_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield why the engine would refuse ranks or scalings (texts): PEFTHelper.__post_init__."""
    rank, alpha, pattern = config["r"], config["lora_alpha"], config.get("rank_pattern")
    if not isinstance(rank, int | float) or rank <= 0 or rank == inf:
        yield f'its "r" is {_shown(rank)}, not a whole number above 0'
    if not isinstance(alpha, int | float):
        yield f'its "lora_alpha" is {_shown(alpha)}, not a number'
    if pattern and not isinstance(pattern, Mapping):
        yield f'its "rank_pattern" is {_shown(pattern)}, not an object'
    elif pattern:
        wrong = [one for one in pattern.values() if not isinstance(one, int) or one <= 0]
        yield from [f'a rank of its "rank_pattern" is {_shown(wrong[0])}'] if wrong else []


def _saved(modules: Any) -> Iterator[str]:
    """Yield why `modules_to_save` is refused (text), if it names whole modules; else nothing."""
    if not modules:
        return
    if not isinstance(modules, list | str | Mapping):
        yield f'its "modules_to_save" is {_shown(modules)}, not a list'
        return
    # The engine takes a text for a list of its letters.
    whole = {modules} if isinstance(modules, str) else set(map(str, modules)) - _SAVED_WHOLE
    if whole:
        yield f"it brings whole modules (modules_to_save {min(whole)})"


def _rank(config: Mapping[str, Any]) -> int | None:
    """Return the largest of `r` and the ranks in `rank_pattern`; None if none is stated."""
    pattern = config.get("rank_pattern")
    ranks = [config.get("r"), *(pattern.values() if isinstance(pattern, Mapping) else ())]
    whole = [rank for rank in map(as_integer, ranks) if rank is not None]
    return max(whole) if whole else None


def _shown(value: Any) -> str:
    """Return the value as JSON text, cut to 40 characters."""
    return json.dumps(value)[:_MOST_SHOWN]


def _word(value: Any) -> str | None:
    """Return the value if it is a non-empty string, else None."""
    return value if isinstance(value, str) and value else None
