"""Find the place of a remote model in the cache, for planning."""

from collections.abc import Mapping
from dataclasses import replace

from nim.models.hub.repositories_to_download import GB, file_selection
from nim.models.remote.cache_directories import CURRENT, directory_of, find_current
from nim.models.requested_model import ModelWish, Source
from nim.plan import Download, RemoteModel
from nim.value_origins import Value


def located(source: Source, cache_dir: str) -> Source:
    """Return the source with the path of its files in the cache, if they are there; others unchanged."""
    if source.remote is None:
        return source
    current = find_current(directory_of(cache_dir, source.remote))
    return replace(source, path=str(current) if current else None)


def located_wish(wish: ModelWish, cache_dir: str) -> ModelWish:
    """Return the wish with a located source."""
    return replace(wish, source=located(wish.source, cache_dir)) if wish.source else wish


def remote_model(source: Source, config: Mapping[str, Value], cache_dir: str) -> RemoteModel | None:
    """Return the RemoteModel that a start fetches; None for a source that is not remote."""
    if source.remote is None:
        return None
    load_format, ignored = file_selection(config)
    directory = directory_of(cache_dir, source.remote)
    return RemoteModel(uri=source.remote, directory=str(directory), load_format=load_format, ignored=ignored)


def remote_download(
    source: Source, config: Mapping[str, Value], cache_dir: str, size_gb: float | None
) -> Download | None:
    """Return the Download of a remote source; None for others."""
    remote = remote_model(source, config, cache_dir)
    if remote is None:
        return None
    total = int(size_gb * GB) if size_gb else None
    return Download(directory=remote.directory, total_bytes=total, remote=remote)


def place_of_weights(source: Source, cache_dir: str) -> str:
    """Return what the engine is given as its model: a directory, or the hub's repository."""
    if source.remote:
        return str(directory_of(cache_dir, source.remote) / CURRENT)
    return source.path or source.repository or ""
