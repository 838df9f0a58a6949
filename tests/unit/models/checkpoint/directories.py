"""Create models as directories: safetensors with real headers, indexes, hub caches, LFS pointers."""

import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16"}
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 4976698672\n"
INDEX = "model.safetensors.index.json"
ELEMENT_BYTES = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "U8": 1, "I64": 8}
FOUR_SHARDS = tuple(f"model-{number:05}-of-00004.safetensors" for number in range(1, 5))

# Content of a file: text, an object (JSON), or bytes.
Content = str | bytes | Mapping[str, Any]


def safetensors(elements: Mapping[str, int] | None = None, *, cut: int = 0) -> bytes:
    """Return a file with one tensor of each type, `cut` bytes short (or longer)."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for number, (kind, count) in enumerate((elements or {"BF16": 8}).items()):
        begin, end = end, end + count * ELEMENT_BYTES[kind]
        header[f"layer.{number}.weight"] = {"dtype": kind, "shape": [count], "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    whole = struct.pack("<Q", len(text)) + text + bytes(end)
    return whole[: len(whole) - cut] + bytes(max(-cut, 0))


def index_of(*names: str) -> Mapping[str, Any]:
    """Return an index that gives each file a layer."""
    return {
        "metadata": {},
        "weight_map": {f"layer.{number}.weight": name for number, name in enumerate(names)},
    }


def make(directory: Path, files: Mapping[str, Content]) -> Path:
    """Return a directory with these files."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str | bytes) else json.dumps(content)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return directory


def sparse(path: Path, size: int) -> Path:
    """Return a file of zeros that takes no room."""
    path.touch()
    os.truncate(path, size)
    return path


def cached(
    cache: Path, files: Mapping[str, Content], *, name: str = "org/name", commit: str = "c0ffee"
) -> Path:
    """Return the snapshot of a repository laid out as in the hub's cache: links to blobs."""
    repository = cache / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / commit
    make(repository, {"refs/main": commit})
    (repository / "blobs").mkdir(exist_ok=True)
    for number, (file, content) in enumerate(files.items()):
        make(repository / "blobs", {f"blob{number}": content})
        link = snapshot / file
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(repository / "blobs" / f"blob{number}", link.parent))
    return snapshot
