"""Find the small files of the model for `nim model`: in a directory, the cache or on the hub."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from nim.cli.download_from_hub import Hub, logger, refuse_offline
from nim.errors import WeightsError
from nim.frozen_dataclass import frozen_dataclass
from nim.models.checkpoint.read_local_model import read_local_model
from nim.models.checkpoint.weight_bytes_by_type import is_quantized
from nim.models.config.model_config import ModelConfig
from nim.models.config.read_config_files import CONFIG, INDEX, PARAMS, SMALL_FILES, indexed_bytes, read_config
from nim.models.hub.repositories_to_download import wanted_of
from nim.models.remote.locate_source import ModelPlaces, located, model_places
from nim.models.requested_model import Source, read_source
from nim.models.weights.model_weights import stored_dtype
from nim.options.derived_options import cache_entries
from nim.options.option_layers import environment_entries
from nim.options.resolve_layers import resolve
from nim.plan import RemoteModel, Wanted
from nim.planning.read_host_facts import read_host_facts
from nim.settings import Settings

_PLACE = "the command line"


@frozen_dataclass
class FoundModel:
    """A model's name and configuration.

    `loaded_bytes` are those of its weights, in 16 bits where they are not quantized; None where neither the
    files nor their index are available.
    """

    name: str
    config: ModelConfig
    loaded_bytes: int | None


def find_model(text: str, settings: Settings, environ: Mapping[str, str]) -> FoundModel:
    """Return the FoundModel that `text` names, from a directory, the cache or the hub; or WeightsError."""
    places = model_places(settings, read_host_facts(settings, environ).cache_dir)
    source = located(read_source(text, _PLACE), places)
    if source.path is not None:
        return _of_directory(Path(source.path))
    if source.remote is not None:
        return _of_remote(source, places, settings, environ)
    return _of_repository(source, settings, environ)


def _of_directory(directory: Path) -> FoundModel:
    """Return the FoundModel read from a directory; WeightsError if its files cannot be read."""
    try:
        config = read_config(directory)
        return FoundModel(
            name=directory.name or str(directory),
            config=config,
            loaded_bytes=_loaded_bytes(directory, config),
        )
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"cannot read the model '{directory}': {error}", hint="download its small files again"
        ) from None


def _loaded_bytes(directory: Path, config: ModelConfig) -> int | None:
    """Return the bytes of the weights that the engine loads; None if unknown."""
    if (directory / PARAMS).is_file() and not (directory / CONFIG).is_file():
        return None  # Mistral's format, with or without its weights
    model = read_local_model(directory, _PLACE)
    quantized = is_quantized(model.config)
    if model.weights and not model.findings and (loaded := model.weights.loaded_bytes(quantized=quantized)):
        return loaded
    stored = indexed_bytes(directory)
    return stored // 2 if stored and stored_dtype(config) == "float32" and not quantized else stored


def _of_remote(
    source: Source, places: ModelPlaces, settings: Settings, environ: Mapping[str, str]
) -> FoundModel:
    """Return the FoundModel of a remote source that is not in the cache, read in a temporary directory."""
    from nim.cli.download_remote import fetch_small_files

    with tempfile.TemporaryDirectory() as elsewhere:
        remote = RemoteModel(uri=source.uri, directory=elsewhere, mirrors=places.mirrors)
        return _of_directory(fetch_small_files(remote, (*SMALL_FILES, INDEX), settings, environ))


def _of_repository(source: Source, settings: Settings, environ: Mapping[str, str]) -> FoundModel:
    """Return the FoundModel of a repository: from the cache, else downloaded to a temporary directory."""
    environment = read_host_facts(settings, environ)
    cache = tuple(cache_entries(environment))
    config = resolve((*cache, *environment_entries(environ, cache, ())))
    wanted = wanted_of(source, config, environ)[0]
    env = {name: str(value.value) for name, value in config.items() if name.startswith("HF_")}
    hub = Hub(logger(settings, environ), environ, env)
    snapshot = hub.snapshot(wanted)
    if snapshot is not None and any((snapshot / name).is_file() for name in (CONFIG, PARAMS)):
        return _of_directory(snapshot)
    refuse_offline(settings, environ, [wanted])
    with tempfile.TemporaryDirectory() as elsewhere:
        return _fetched(hub, wanted, elsewhere)


def _fetched(hub: Hub, wanted: Wanted, elsewhere: str) -> FoundModel:
    """Download the small files to `elsewhere`; return the FoundModel, or WeightsError if there are none."""
    directory = hub.fetch_small(wanted, (*SMALL_FILES, INDEX), elsewhere)
    if directory is None:
        raise WeightsError(
            f"cannot read the model {wanted.uri}: it has no config.json",
            hint="hf://… a repository with a model in the format of Hugging Face",
        )
    return _of_directory(directory)
