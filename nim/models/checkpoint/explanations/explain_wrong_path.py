"""Explain why a path is not a model's directory, and which path or setting to use instead."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from nim.errors import WeightsError
from nim.models.checkpoint.explanations.detect_unsupported_formats import DIFFUSERS, find_format, format_hint
from nim.models.checkpoint.explanations.download_again_command import origin_of
from nim.models.checkpoint.explanations.explain_adapter import ADAPTER_CONFIG, explain_adapter
from nim.models.checkpoint.list_model_directory import CONFIG, ModelFiles, unfinished
from nim.models.checkpoint.select_weight_files import weights_among
from nim.models.hub.cache_snapshots import hub_repository, snapshots_of

WHOLE_CACHE = "mount the whole models--… directory, or copy the snapshot with cp -rL"
_MOST_LISTED = 4
_REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)


def refuse_path(path: Path, place: str) -> None:
    """Raise WeightsError, with a hint, if `path` is not a directory on disk; else return nothing."""
    if path.is_dir():
        return
    meant = path if _REPOSITORY.fullmatch(str(path)) else "org/name"
    hint = f"NIM_MODEL_PATH=hf://{meant}, or the path as the container sees it"
    if path.is_symlink() and not path.exists():
        raise _refusal(path, place, f"it is a link to '{path.readlink()}', which is not there", hint)
    if not path.exists():
        raise _refusal(path, place, "there is no such directory", hint)
    if (path.parent / CONFIG).is_file():
        raise _refusal(path, place, "it is not a directory", f"NIM_MODEL_PATH={path.parent}")
    if found := find_format((path.name,)):
        raise _refusal(path, place, f"it is not a directory but {found[0].what}", format_hint(found[0], path))
    raise _refusal(
        path, place, "it is not a directory", "NIM_MODEL_PATH=… the directory of the model's files"
    )


def refuse_directory(files: ModelFiles, place: str) -> None:
    """Raise WeightsError if the directory has no configuration, saying what it holds instead."""
    if files.config is None:
        why, hint, allowed = _explain(files)
        raise _refusal(files.directory, place, f"it has no {CONFIG}{why}", hint, allowed)


def _explain(files: ModelFiles) -> tuple[str, str, Sequence[str]]:
    """Return the words that follow "it has no config.json", the hint, and the likely models' paths."""
    directory = files.directory
    if ADAPTER_CONFIG in files.names:
        what, hint = explain_adapter(directory)
        return f": {what}", hint, ()
    if snapshot := next(snapshots_of(directory), None):
        return f": it is the hub's cache of {hub_repository(directory)}", f"NIM_MODEL_PATH={snapshot}", ()
    if cached := sorted(_cached_repositories(directory)):
        return ": it is a cache of the hub", f"NIM_MODEL_PATH=hf://{cached[0]}", _several(cached)
    if DIFFUSERS not in files.names and (below := _models_below(files)):
        return ", but what lies below it has", f"NIM_MODEL_PATH={below[0]}", _several(below)
    return (*_explain_files(files), ())


def _explain_files(files: ModelFiles) -> tuple[str, str]:
    """Return why the directory's files are no model (end of a sentence), and the hint of what to type."""
    directory, origin = files.directory, origin_of(files.directory)
    if CONFIG in files.broken:
        return f": it is a link to what is not there, '{(directory / CONFIG).readlink()}'", WHOLE_CACHE
    if partial := unfinished(files):
        return f": the download was not finished ({partial[0]})", origin.download
    if found := find_format(files.names):
        return f"; it holds {found[0].what} ({found[1]})", format_hint(found[0], directory / found[1])
    if weights_among(files.names):
        return ": the download is not complete", origin.download
    if not files.names:
        return ": it is empty", "NIM_MODEL_PATH=… as the container sees it, or mount the model there"
    return "", f"ls {directory}: the directory must hold the model's files themselves"


def _cached_repositories(directory: Path) -> Iterator[str]:
    """Yield the "org/name" of each repository directory in a hub cache on disk."""
    for path in (*directory.glob("models--*"), *directory.glob("hub/models--*")):
        if repository := hub_repository(path):
            yield repository


def _models_below(files: ModelFiles) -> list[str]:
    """Return a list of subdirectories with configuration and weights; if none, with a configuration."""
    having = {name.rpartition("/")[0] for name in weights_among(files.names)}
    found = sorted(name.removesuffix(f"/{CONFIG}") for name in files.names if name.endswith(f"/{CONFIG}"))
    return [str(files.directory / name) for name in [one for one in found if one in having] or found]


def _several(found: Sequence[str]) -> Sequence[str]:
    """Return the first four of several paths, for the error's list of choices; () for fewer than two."""
    return found[:_MOST_LISTED] if len(found) > 1 else ()


def _refusal(path: Path, place: str, why: str, hint: str, allowed: Sequence[str] = ()) -> WeightsError:
    """Return the WeightsError "cannot use `path` (from `place`): `why`"; does not raise it."""
    return WeightsError(f"cannot use '{path}' (from {place}): {why}", allowed=allowed, hint=hint)
