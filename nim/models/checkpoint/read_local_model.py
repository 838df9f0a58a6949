"""Judge a local model before the start: what the engine would load, and whether it can."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nim.frozen_dataclass import frozen_dataclass
from nim.models.checkpoint.explanations.download_again_command import origin_of
from nim.models.checkpoint.explanations.explain_missing_weights import missing_files
from nim.models.checkpoint.explanations.explain_wrong_path import refuse_directory, refuse_path
from nim.models.checkpoint.find_weights import read_weights
from nim.models.checkpoint.findings import Finding
from nim.models.checkpoint.list_model_directory import CONFIG, ModelFiles, list_files, read_config
from nim.models.checkpoint.select_weight_files import AUTO
from nim.models.checkpoint.weight_bytes_by_type import Weights


@frozen_dataclass
class LocalModel:
    """A model's directory. `config` is empty if a hub's cache does not have it yet.

    `weights` are None where it is not known what the engine loads, or where not all of that is there.
    """

    files: ModelFiles
    load_format: str
    config: Mapping[str, Any]
    weights: Weights | None
    findings: tuple[Finding, ...]


def read_local_model(directory: Path, place: str, load_format: str = AUTO) -> LocalModel:
    """Return the `LocalModel` in `directory`, named at `place`; WeightsError if it is no model directory."""
    refuse_path(directory, place)
    files = list_files(directory)
    refuse_directory(files, place)
    return _judged(files, load_format)


def read_snapshot(directory: Path, load_format: str = AUTO) -> LocalModel:
    """Return the `LocalModel` in a hub cache snapshot; missing files are findings, not errors."""
    return _judged(list_files(directory), load_format)


def _judged(files: ModelFiles, load_format: str) -> LocalModel:
    """Return the `LocalModel` of these files: configuration, weights and findings, read from disk."""
    directory, origin = files.directory, origin_of(files.directory)
    config: Mapping[str, Any] = {}
    if files.config:
        config = read_config(directory / files.config, origin)
        origin = origin_of(directory, config)
    weights, findings = read_weights(files, config, load_format, origin)
    if not files.config:
        findings = (missing_files(files, (CONFIG,), "the model", origin), *findings)
    return LocalModel(files=files, load_format=load_format, config=config, weights=weights, findings=findings)
