"""Check what a model needs besides weights: a tokenizer, and the code that its configuration names."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from nim.models.checkpoint.explanations.detect_unsupported_formats import matches
from nim.models.checkpoint.list_model_directory import ModelFiles
from nim.read_regular_file import read_bytes

# Names of vocabularies, and of files that are called like one but hold none.
_TOKENIZERS = ("*token*", "*vocab*", "*merges*", "*spiece*", "*bpe*", "tekken.json", "*.model", "*.model.v*")
_TOKENIZERS_BESIDE = (
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "*tokens_map*.json"),
    *("*.py", "*.md", "*.jinja", "*.safetensors", "*.bin", "*.pt"),
)
_TOKENIZER_CONFIG = "tokenizer_config.json"
# In another repository: "org/name--module.Class".
_ELSEWHERE = "--"


def tokenizer_warnings(files: ModelFiles) -> Iterator[str]:
    """Yield one warning (text) if the directory has no vocabulary file; else nothing."""
    names = (name for name in files.names if "/" not in name)
    if not any(matches(name, _TOKENIZERS) and not matches(name, _TOKENIZERS_BESIDE) for name in names):
        yield (
            f"'{files.directory}' has no tokenizer (tokenizer.json, tokenizer.model, vocab.json, …), without "
            "which most models do not start (hint: --tokenizer org/name, or --skip-tokenizer-init)"
        )


def remote_code_warnings(files: ModelFiles, config: Mapping[str, Any]) -> Iterator[str]:
    """Yield one warning (text) that names missing Python files of `auto_map`; else nothing."""
    tokenizer = _read(files.directory / _TOKENIZER_CONFIG) if _TOKENIZER_CONFIG in files.names else {}
    named = sorted({*_modules(config), *_modules(tokenizer)} - files.names)
    if named:
        yield (
            f"'{files.directory}' has no {', '.join(named)}, which its configuration names as code "
            "for --trust-remote-code (hint: download the model's *.py files, too)"
        )


def _modules(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the Python file names in `auto_map`, such as {"AutoConfig": "configuration_mine.MyConfig"}."""
    auto_map = config.get("auto_map")
    for value in auto_map.values() if isinstance(auto_map, Mapping) else ():
        for reference in value if isinstance(value, list) else (value,):
            if isinstance(reference, str) and _ELSEWHERE not in reference:
                yield f"{reference.rpartition('.')[0].replace('.', '/')}.py"


def _read(path: Path) -> Mapping[str, Any]:
    """Return the JSON object in a file; {} if it is missing, unreadable or no object."""
    with suppress(OSError, ValueError):
        values = json.loads(read_bytes(path))
        return values if isinstance(values, dict) else {}
    return {}
