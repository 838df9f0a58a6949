"""Find the place of a remote model in the cache, and the mirrors of its source, for planning."""

from collections.abc import Mapping
from dataclasses import replace

from nim.errors import SettingsError
from nim.frozen_dataclass import frozen_dataclass
from nim.models.hub.repositories_to_download import GB, file_selection
from nim.models.remote.cache_directories import CURRENT, directory_of, find_current
from nim.models.remote.uris import EXAMPLES, OBJECT_STORES, WEB, is_remote, normal_uri
from nim.models.requested_model import ModelWish, Source
from nim.plan import Download, RemoteModel
from nim.settings import Settings
from nim.value_origins import Value

# Among the mirrors: the model's own source.
ORIGINAL = "source"
MIRROR_SCHEMES = tuple(f"{scheme}://" for scheme in (*OBJECT_STORES, *WEB))


@frozen_dataclass
class ModelPlaces:
    """Where remote models are kept, and which mirrors are asked instead of their sources."""

    cache_dir: str
    mirrors: tuple[str, ...] = ()


def model_places(settings: Settings, cache_dir: str) -> ModelPlaces:
    """Return the ModelPlaces by the settings; SettingsError for a mirror of no known form."""
    words = [word.strip() for word in (settings.repository_override or "").split(",")]
    mirrors = tuple(_mirror(word, settings) for word in words if word)
    return ModelPlaces(cache_dir=cache_dir, mirrors=mirrors)


def located(source: Source, places: ModelPlaces) -> Source:
    """Return the source with the path of its files in the cache, if the service fetches it and has done so.

    With mirrors, the service fetches also what the engine would download from the hub.
    """
    if source.repository and places.mirrors:
        source = Source(remote=source.uri)
    if source.remote is None:
        return source
    current = find_current(directory_of(places.cache_dir, source.remote))
    return replace(source, path=str(current) if current else None)


def located_wish(wish: ModelWish, places: ModelPlaces) -> ModelWish:
    """Return the wish with a located source."""
    return replace(wish, source=located(wish.source, places)) if wish.source else wish


def remote_model(source: Source, config: Mapping[str, Value], places: ModelPlaces) -> RemoteModel | None:
    """Return the RemoteModel that a start fetches; None for a source that is not remote."""
    if source.remote is None:
        return None
    load_format, ignored = file_selection(config)
    return RemoteModel(
        uri=source.remote,
        directory=str(directory_of(places.cache_dir, source.remote)),
        load_format=load_format,
        ignored=ignored,
        mirrors=places.mirrors,
    )


def remote_download(
    source: Source, config: Mapping[str, Value], places: ModelPlaces, size_gb: float | None
) -> Download | None:
    """Return the Download of a remote source; None for others."""
    remote = remote_model(source, config, places)
    if remote is None:
        return None
    total = int(size_gb * GB) if size_gb else None
    return Download(directory=remote.directory, total_bytes=total, remote=remote)


def place_of_weights(source: Source, cache_dir: str) -> str:
    """Return what the engine is given as its model: a directory, or the hub's repository."""
    if source.remote:
        return str(directory_of(cache_dir, source.remote) / CURRENT)
    return source.path or source.repository or ""


def _mirror(word: str, settings: Settings) -> str:
    """Return a mirror in its normal form: a URI, an absolute directory, or "source"."""
    if word == ORIGINAL or word.startswith("/"):
        return word.rstrip("/") or "/"
    uri = normal_uri(word) if is_remote(word) and word.startswith(MIRROR_SCHEMES) else None
    if uri is None:
        name = settings.names_used["repository_override"]
        raise SettingsError(
            f"cannot use {name} '{word}': it is no mirror",
            allowed=("/DIRECTORY", *(EXAMPLES[scheme] for scheme in (*OBJECT_STORES, *WEB)), ORIGINAL),
            hint=f"{name}=s3://BUCKET/DIRECTORY, after nim mirror s3://BUCKET/DIRECTORY",
        )
    return uri
