"""The formats that weights of one precision have in the engine."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from nim.models.config.model_config import as_integer, as_size
from nim.models.weights.storage.bits_and_scales import Rule, Storage

FP8_TENSOR = Storage(bits=8)
FP8_CHANNEL = Storage(bits=8, scale_bits=32, tile_rows=1)
INT8_CHANNEL = Storage(bits=8, scale_bits=32, tile_rows=1)
NVFP4 = Storage(bits=4, scale_bits=8, tile_rows=1, tile_columns=16, rule=Rule.MULTIPLE)
MXFP8 = Storage(bits=8, scale_bits=8, tile_rows=1, tile_columns=32, rule=Rule.MULTIPLE)
MXFP4 = Storage(bits=4, scale_bits=8, tile_rows=1, tile_columns=32, rule=Rule.MULTIPLE)
# Experts in MXFP4 are padded to what the engine's kernels take.
MXFP4_EXPERTS = replace(MXFP4, rule=Rule.NONE, round_inner=128, round_hidden=256)
GPT_OSS_EXPERTS = replace(MXFP4, rule=Rule.NONE, round_inner=64)
NVFP4_EXPERTS = replace(NVFP4, rule=Rule.NONE)

# ModelOpt's words.
ALGORITHMS: Mapping[str, Storage] = {
    "FP8": FP8_TENSOR,
    "FP8_PER_CHANNEL_PER_TOKEN": FP8_CHANNEL,
    "FP8_PB_WO": Storage(bits=8, scale_bits=32, tile_rows=128, tile_columns=128, rule=Rule.MULTIPLE),
    "NVFP4": NVFP4,
    "W4A16_NVFP4": NVFP4,
    "MXFP8": MXFP8,
}


def for_experts(storage: Storage) -> Storage:
    """Return the `Storage` that experts have where linear layers have `storage`."""
    return {MXFP4: MXFP4_EXPERTS, NVFP4: NVFP4_EXPERTS}.get(storage, storage)


def blocks(rows: int, columns: int, *, scale_bits: int = 32) -> Storage:
    """Return the `Storage` of 8-bit weights with a scale for each tile of `rows` × `columns`."""
    return Storage(bits=8, scale_bits=scale_bits, tile_rows=rows, tile_columns=columns, rule=Rule.BLOCKS)


def tiles(tile: Sequence[Any]) -> Storage | None:
    """Return the `Storage` of 8-bit weights with these [rows, columns] per scale; None if not positive."""
    rows, columns = map(as_size, tile)
    return blocks(rows, columns) if rows and columns else None


def groups(bits: int, size: int | None, *, zero_points: bool) -> Storage:
    """Return the `Storage` of integers with a 16-bit scale per `size` elements of a row; None: whole row."""
    scale_bits = 16 + (bits if zero_points else 0)
    rule = Rule.GROUPS if size else Rule.NONE
    return Storage(bits=bits, scale_bits=scale_bits, tile_rows=1, tile_columns=size, rule=rule)


def of_weights(weights: Mapping[str, Any], kind: str) -> Storage | None:
    """Return the `Storage` of a compressed-tensors `weights` object (`kind`: its format); None if unknown."""
    bits, size = as_size(weights.get("num_bits")), as_integer(weights.get("group_size"))
    size = size if size and size > 0 else None
    if weights.get("type") == "float":
        return _floats(weights, bits, size)
    if bits == 8 and kind in ("int-quantized", "naive-quantized"):
        return INT8_CHANNEL
    symmetric = weights.get("symmetric", True) is not False
    return groups(bits, size, zero_points=not symmetric) if bits in (2, 3, 4, 8) else None


def _floats(weights: Mapping[str, Any], bits: int | None, size: int | None) -> Storage | None:
    """Return the `Storage` of 4- or 8-bit floats; None for other bits."""
    if bits == 4:
        return MXFP4 if size == 32 else NVFP4
    if bits != 8:
        return None
    tile = weights.get("block_structure")
    if weights.get("strategy") == "block" and isinstance(tile, list) and len(tile) == 2:
        return tiles(tile)
    if size == 32:
        return MXFP8
    return FP8_TENSOR if weights.get("strategy") == "tensor" else FP8_CHANNEL


# What the engine quantizes itself it pads to whole blocks.
_PADDED_BLOCKS = replace(blocks(128, 128), rule=Rule.NONE)
# `--quantization` of weights that are not quantized yet: linear layers, and experts. None stays as it is.
ON_THE_FLY: Mapping[str, tuple[Storage | None, Storage | None]] = {
    "fp8": (FP8_TENSOR, FP8_TENSOR),
    "fp8_per_tensor": (FP8_TENSOR, FP8_TENSOR),
    "fp8_per_block": (_PADDED_BLOCKS, _PADDED_BLOCKS),
    "fp8_per_channel": (FP8_CHANNEL, FP8_CHANNEL),
    "mxfp8": (MXFP8, MXFP8),
    "mxfp4": (MXFP4, MXFP4_EXPERTS),
    "int8_per_channel_weight_only": (None, INT8_CHANNEL),
    "experts_int8": (None, INT8_CHANNEL),
    "nvfp4_per_token": (None, NVFP4_EXPERTS),
}
