"""Read facts of the models that a manifest's profiles serve, from directories and the hub cache."""

from collections.abc import Mapping
from pathlib import Path

from nim.manifest import Manifest
from nim.manifest.load import local_path
from nim.models.config.read_config_files import read_config
from nim.models.facts import ModelFacts, facts_of
from nim.models.hub.cache_snapshots import find_snapshot
from nim.models.hub.repositories_to_download import wanted_of
from nim.models.remote.locate_source import ModelPlaces, located
from nim.models.remote.uris import is_remote, normal_uri
from nim.models.requested_model import HUB, Source
from nim.value_origins import Value

Values = Mapping[str, Value]


def read_facts(source: Source, values: Values, environ: Mapping[str, str]) -> ModelFacts | None:
    """Return the ModelFacts read from a source's local files; None if they are not on this machine.

    `values` are the options that are known so far: they say where the hub's cache lies.
    """
    if source.path:
        return read_facts_in(Path(source.path))
    if source.remote:
        return None
    wanted = wanted_of(source, values, environ)[0]
    directory = find_snapshot(wanted.directory, wanted.revision)
    return read_facts_in(directory) if directory else None


def facts_by_source(
    manifest: Manifest, values: Values, environ: Mapping[str, str], places: ModelPlaces
) -> dict[str | None, ModelFacts]:
    """Return a dict: source → ModelFacts, for each profile's source with files on this machine."""
    found = {}
    for text in dict.fromkeys(profile.source for profile in manifest.profiles):
        source = _source(manifest, text or "", places)
        if source is not None and (facts := read_facts(source, values, environ)):
            found[text] = facts
    return found


def _source(manifest: Manifest, text: str, places: ModelPlaces) -> Source | None:
    """Return a profile's source text as a Source; None if it is neither a path nor a known URI."""
    path = local_path(manifest, text) if text else None
    if path is None and is_remote(text):
        uri = normal_uri(text)
        return located(Source(remote=uri), places) if uri else None
    source = Source(path=path) if path else _repository(text)
    return located(source, places) if source else None


def _repository(source: str) -> Source | None:
    """Return the Source of an hf:// URI; None for other text."""
    name, _, revision = source.removeprefix(HUB).partition(":")
    return Source(repository=name, revision=revision or None) if source.startswith(HUB) else None


def read_facts_in(directory: Path) -> ModelFacts | None:
    """Return the ModelFacts read from a directory's config.json; None if it is missing or invalid."""
    try:
        config = read_config(directory)
    except (OSError, ValueError):
        return None
    return facts_of(config) if config.root.values else None
