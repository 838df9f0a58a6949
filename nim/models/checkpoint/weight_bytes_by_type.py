"""The weights that the engine loads from a directory: files, bytes and types."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from nim.frozen_dataclass import frozen_dataclass

# Bytes of one element, for the types that the engine converts to the one it serves in.
FLOAT_BYTES = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2}
SERVED_BYTES = 2
_QUANTIZATION = ("quantization_config", "compression_config")
_FLOAT32 = ("float32", "torch.float32", "float")


@frozen_dataclass
class Weights:
    """`tensor_bytes` are by safetensors type (`BF16`, `F8_E4M3`, …); bytes of unknown type are under None."""

    files: tuple[str, ...]
    file_bytes: int
    tensor_bytes: Mapping[str | None, int] = field(default_factory=dict)

    def loaded_bytes(self, element_bytes: int = SERVED_BYTES, *, quantized: bool = False) -> int:
        """Return the bytes of all weights in memory, floats counted with `element_bytes` each.

        Of a quantized checkpoint nothing is converted: its 32-bit tensors are scales.
        """
        if quantized:
            return sum(self.tensor_bytes.values())
        return sum(
            count * element_bytes // FLOAT_BYTES.get(kind or "", element_bytes)
            for kind, count in self.tensor_bytes.items()
        )


def weights_of(
    directory: Path,
    names: Iterable[str],
    headers: Mapping[str, Mapping[str | None, int] | None],
    config: Mapping[str, Any],
) -> Weights:
    """Return the `Weights` of these files: sizes from disk, types from `headers` where they were read."""
    files = tuple(sorted(names))
    sizes = {name: (directory / name).stat().st_size for name in files}
    assumed = None if is_quantized(config) else _stored_type(config)
    found: Counter[str | None] = Counter()
    for name in files:
        header = headers.get(name)
        found.update(header if header is not None else {assumed: sizes[name]})
    return Weights(files=files, file_bytes=sum(sizes.values()), tensor_bytes=dict(found))


def is_quantized(config: Mapping[str, Any]) -> bool:
    """Return whether the configuration, or that of its text part, names a quantization."""
    text = config.get("text_config")
    parts = (config, text) if isinstance(text, Mapping) else (config,)
    return any(part.get(name) for part in parts for name in _QUANTIZATION)


def _stored_type(config: Mapping[str, Any]) -> str | None:
    """Return "F32" if the configuration names a 32-bit type, for files without a header; else None."""
    text = config.get("text_config")
    parts = (config, text) if isinstance(text, Mapping) else (config,)
    named = next((part[key] for part in parts for key in ("dtype", "torch_dtype") if part.get(key)), None)
    return "F32" if str(named) in _FLOAT32 else None
