"""Find the weights that the engine would load from a directory, and what prevents it."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from nim.errors import WeightsError
from nim.models.checkpoint.explanations.download_again_command import Origin
from nim.models.checkpoint.explanations.explain_adapter import ADAPTER_WEIGHTS
from nim.models.checkpoint.explanations.explain_missing_weights import (
    adapter,
    adapter_beside,
    missing_files,
    no_weights,
    other_engine,
)
from nim.models.checkpoint.find_shards import Shards, shards_of
from nim.models.checkpoint.findings import Fault, Finding
from nim.models.checkpoint.list_model_directory import ModelFiles
from nim.models.checkpoint.read_weight_file import damaged, read_weights_file
from nim.models.checkpoint.select_weight_files import WeightSet, local_weights, needs_weights, other_weights
from nim.models.checkpoint.weight_bytes_by_type import Weights, is_quantized, weights_of

Found = tuple[Weights | None, tuple[Finding, ...]]


def _architectures(config: Mapping[str, Any]) -> list[str]:
    """Return the configuration's architecture names, those that are strings; [] if there is no list."""
    found = config.get("architectures")
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def read_weights(files: ModelFiles, config: Mapping[str, Any], load_format: str, origin: Origin) -> Found:
    """Return (`Weights`, or None if unknown or incomplete; tuple of findings), from files on disk."""
    if finding := other_engine(files, config) or _unusable_path(files.directory):
        return None, (finding,)
    found = local_weights(files.names, load_format)
    added = other_weights(files.names, _architectures(config))
    if found is None or added is None or not needs_weights(found.load_format):
        return None, ()
    if found.files and set(found.files) <= set(ADAPTER_WEIGHTS):
        return None, (adapter(files),)
    return _read_set(files, config, found, added, load_format, origin)


def _read_set(
    files: ModelFiles,
    config: Mapping[str, Any],
    found: WeightSet,
    added: tuple[str, ...],
    load_format: str,
    origin: Origin,
) -> Found:
    """Return the `Weights` (or None) and findings of one load format's files and the files in `added`."""
    try:
        shards = shards_of(files, found, origin)
    except WeightsError as error:
        hint = error.hint or origin.download
        return None, (Finding(fault=Fault.DAMAGED, message=error.message, hint=hint),)
    if shards.missing:
        of = f"the files that {shards.index} names" if shards.index else "the numbered files"
        finding = missing_files(files, shards.missing, of, origin)
        return None, (finding if shards.loaded else _or_another(finding, shards, found),)
    if not shards.loaded:
        return None, (no_weights(files, found, load_format, origin),)
    if beside := set(shards.loaded) & set(ADAPTER_WEIGHTS):
        return None, (adapter_beside(files, min(beside)),)
    return _read_files(files, config, (*shards.loaded, *added), origin)


def _or_another(finding: Finding, shards: Shards, found: WeightSet) -> Finding:
    """Return the finding; if an index names missing files beside existing ones, with a hint to delete it."""
    if not found.files or not shards.index:
        return finding
    return replace(
        finding, hint=f"{finding.hint}; or rm {shards.index}, if {found.files[0]} is the whole model"
    )


def _read_files(
    files: ModelFiles, config: Mapping[str, Any], names: tuple[str, ...], origin: Origin
) -> Found:
    """Return the `Weights` by these files' headers on disk (None if one is damaged), and findings."""
    directory, by_type = files.directory, not is_quantized(config)
    read = {name: read_weights_file(directory / name, origin, by_type=by_type) for name in names}
    findings = [*_one_placeholder([finding for _, finding in read.values() if finding])]
    findings += _unfinished(files, names)
    if any(finding.fault is Fault.DAMAGED for finding in findings):
        return None, tuple(findings)
    headers = {name: header for name, (header, _) in read.items()}
    return weights_of(directory, names, headers, config), tuple(findings)


def _one_placeholder(findings: list[Finding]) -> Iterator[Finding]:
    """Yield the findings, with all those of zero-filled files joined into one at the end."""
    empty = [finding for finding in findings if finding.fault is Fault.PLACEHOLDER]
    yield from (finding for finding in findings if finding.fault is not Fault.PLACEHOLDER)
    if empty:
        more = f" (and {len(empty) - 1} more files)" if empty[1:] else ""
        yield replace(empty[0], message=empty[0].message + more)


def _unfinished(files: ModelFiles, names: tuple[str, ...]) -> Iterator[Finding]:
    """Yield a `Finding` for each of `names` that has an aria2 control file beside it."""
    for name in names:
        if f"{name}.aria2" in files.names:
            path = files.directory / name
            why = f"'{name}.aria2' beside it says that its download was not finished"
            yield damaged(path, why, f"aria2c -c … in that directory, or remove '{path}.aria2'")


def _unusable_path(directory: Path) -> Finding | None:
    """Return the `Finding` for a path with brackets, a pattern to vLLM; None for other paths."""
    if all(fnmatchcase(part, part) for part in directory.absolute().parts):
        return None
    message = f"cannot load '{directory}': vLLM takes the brackets in this path for a pattern"
    hint = "ln -s … a path without brackets, and NIM_MODEL_PATH= that"
    return Finding(fault=Fault.DAMAGED, message=message, hint=hint)
