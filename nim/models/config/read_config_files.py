"""Read a model's JSON files from a directory into its configuration."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nim.models.config.convert_mistral_params import as_config
from nim.models.config.model_config import ModelConfig, model_config
from nim.read_regular_file import read_bytes

CONFIG, PARAMS = "config.json", "params.json"
# What a reading takes beside these two; each may be absent.
QUANTIZATION, TOKENIZER, MODULES = "hf_quant_config.json", "tokenizer_config.json", "modules.json"
SENTENCES = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
SMALL_FILES = (CONFIG, PARAMS, QUANTIZATION, TOKENIZER, MODULES, *SENTENCES)
INDEX = "model.safetensors.index.json"
_TOTAL = re.compile(rb'"total_size"\s*:\s*(\d+)')
_MISTRAL_WEIGHTS = "consolidated*.safetensors"
_POOLING = (
    "sentence_transformers.models.Pooling",
    "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
)


def read_config(directory: Path) -> ModelConfig:
    """Return the `ModelConfig` read from the JSON files in `directory`; one without values if none is there.

    Raises ValueError and OSError where a file is there and cannot be read.
    """
    files = {name: read_json(directory / name) for name in SMALL_FILES}
    mistral = bool(files[PARAMS]) and any(directory.glob(_MISTRAL_WEIGHTS))
    return config_from(files, mistral=mistral)


def config_from(files: Mapping[str, Any], *, mistral: bool = False) -> ModelConfig:
    """Return the `ModelConfig` of parsed files (file name → content); `mistral`: the weights are Mistral's.

    The engine reads `params.json` where the weights beside it are `consolidated*.safetensors`. Raises
    ValueError where one of the two is not a JSON object.
    """
    for name in (CONFIG, PARAMS):
        if not isinstance(files.get(name) or {}, dict):
            raise ValueError(f"{name} is not a JSON object")
    config, params = _object(files.get(CONFIG)), _object(files.get(PARAMS))
    from_params = bool(params) and (mistral or not config)
    if from_params:
        config = as_config(params, config)
    sentences = (_object(files.get(name)) for name in SENTENCES)
    return model_config(
        config,
        hf_quant_config=_object(files.get(QUANTIZATION)),
        tokenizer_config=_object(files.get(TOKENIZER)),
        sentence_config=next((found for found in sentences if "max_seq_length" in found), None),
        pools=_pools(files.get(MODULES)),
        classless=from_params,
    )


def read_json(path: Path) -> Any:
    """Return the parsed content of a JSON file; None if there is no file, ValueError if it is not JSON."""
    try:
        return json.loads(read_bytes(path))
    except FileNotFoundError:
        return None


def indexed_bytes(directory: Path) -> int | None:
    """Return the `total_size` in bytes that the safetensors index states; None without either."""
    try:
        found = _TOTAL.search(read_bytes(directory / INDEX))
    except FileNotFoundError:
        return None
    return int(found[1]) if found else None


def _object(value: Any) -> dict[str, Any]:
    """Return the value if it is a dict, else {}."""
    return value if isinstance(value, dict) else {}


def _pools(modules: Any) -> bool:
    """Return whether sentence-transformers' modules.json (parsed) lists a pooling module."""
    listed = modules if isinstance(modules, list) else ()
    return any(isinstance(module, Mapping) and module.get("type") in _POOLING for module in listed)
