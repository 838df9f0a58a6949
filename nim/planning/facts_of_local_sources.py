"""Read facts of the models that a manifest's profiles serve, from directories and the hub cache."""

from collections.abc import Mapping
from pathlib import Path

from nim.manifest import Manifest
from nim.manifest.load import local_path
from nim.models.checkpoint.download_origin import find_snapshot
from nim.models.config_files import read_config
from nim.models.facts import ModelFacts, facts_of
from nim.models.hub.repositories import wanted_of
from nim.models.requested_model import HUB, Source
from nim.value_origins import Value

Values = Mapping[str, Value]


def read_facts(source: Source, values: Values, environ: Mapping[str, str]) -> ModelFacts | None:
    """Return the facts in a source's files; None if they are not on this machine.

    `values` are the options that are known so far: they say where the hub's cache lies.
    """
    if source.path:
        return _read(Path(source.path))
    wanted = wanted_of(source, values, environ)[0]
    directory = find_snapshot(wanted.directory, wanted.revision)
    return _read(directory) if directory else None


def facts_by_source(
    manifest: Manifest, values: Values, environ: Mapping[str, str]
) -> dict[str | None, ModelFacts]:
    """Return source → facts, for each source of the profiles whose files are on this machine."""
    found = {}
    for text in dict.fromkeys(profile.source for profile in manifest.profiles):
        source = _source(manifest, text or "")
        if source is not None and (facts := read_facts(source, values, environ)):
            found[text] = facts
    return found


def _source(manifest: Manifest, text: str) -> Source | None:
    """Return the parsed source; None for one that is neither a directory nor a hub repository."""
    path = local_path(manifest, text) if text else None
    return Source(path=path) if path else _repository(text)


def _repository(source: str) -> Source | None:
    """Return the source named by an `hf://` URI; None for other text."""
    name, _, revision = source.removeprefix(HUB).partition(":")
    return Source(repository=name, revision=revision or None) if source.startswith(HUB) else None


def _read(directory: Path) -> ModelFacts | None:
    """Return the facts in a directory; None without a configuration. Broken ones are refused elsewhere."""
    try:
        config = read_config(directory)
    except (OSError, ValueError):
        return None
    return facts_of(config) if config.root.values else None
