"""Find a checkpoint's shard files by its index or by their numbers, and the missing ones."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path

from nim.errors import WeightsError
from nim.frozen_dataclass import frozen_dataclass
from nim.models.checkpoint.explanations.download_again_command import Origin
from nim.models.checkpoint.list_model_directory import ModelFiles, read_config
from nim.models.checkpoint.select_weight_files import (
    BIN,
    BIN_INDEX,
    FORMATS,
    INDEX,
    MISTRAL,
    MISTRAL_INDEX,
    SAFETENSORS,
    WeightSet,
)

_NUMBERED = re.compile(r"(.+-)(\d+)(-of-)(\d+)(\.\w+)")


@frozen_dataclass
class Shards:
    """Which weight files are loaded. `missing` ones are named by `index`, or by the others' numbers."""

    loaded: tuple[str, ...]
    missing: tuple[str, ...] = ()
    index: str | None = None


def shards_of(files: ModelFiles, found: WeightSet, origin: Origin) -> Shards:
    """Return the loaded and the missing files of `found` as `Shards`. WeightsError if the index is broken.

    As the engine does, files that the index names are looked for at the top of the directory.
    """
    if index := found.index or (None if found.files else _index_in(files, found.load_format)):
        named = read_index(files.directory / index, origin)
        loaded = tuple(name for name in found.files if name in named)
        return Shards(loaded=loaded, missing=_missing(named, found.files), index=index)
    if not found.is_safetensors and BIN_INDEX in files.names:
        named = read_index(files.directory / BIN_INDEX, origin)
        return Shards(loaded=found.files, missing=_missing(named, found.files), index=BIN_INDEX)
    return Shards(loaded=found.files, missing=tuple(_unnumbered(found.files)))


def read_index(file: Path, origin: Origin) -> frozenset[str]:
    """Return the weight file names in an index file. WeightsError if it is unreadable or has none."""
    values = read_config(file, origin)
    weight_map = values.get("weight_map")
    if not isinstance(weight_map, dict):
        raise WeightsError(f"cannot read '{file}': it has no weight_map", hint=origin.again(file))
    return frozenset(map(str, weight_map.values()))


def _index_in(files: ModelFiles, load_format: str) -> str | None:
    """Return the name of the load format's index file in the directory; None if it is not there."""
    indexes = {MISTRAL: MISTRAL_INDEX, SAFETENSORS: INDEX, BIN: BIN_INDEX}
    names = (indexes.get(pattern) for pattern in FORMATS[load_format])
    return next((name for name in names if name in files.names), None)


def _missing(named: Collection[str], there: Collection[str]) -> tuple[str, ...]:
    """Return a sorted tuple of those of `named` that are not among `there`."""
    return tuple(sorted(set(named) - set(there)))


def _unnumbered(names: Collection[str]) -> Iterator[str]:
    """Yield the file names that numbered sets such as `model-00001-of-00004.safetensors` lack."""
    sets: dict[tuple[str, str, str, str], set[str]] = defaultdict(set)
    for name in names:
        if found := _NUMBERED.fullmatch(name):
            before, number, of, count, suffix = found.groups()
            sets[before, of, count, suffix].add(number)
    for (before, of, count, suffix), numbers in sets.items():
        if len(numbers) < int(count):
            first = 0 if any(int(number) == 0 for number in numbers) else 1
            width = len(next(iter(numbers)))
            expected = (f"{number:0{width}}" for number in range(first, first + int(count)))
            yield from (
                f"{before}{number}{of}{count}{suffix}" for number in expected if number not in numbers
            )
