"""The small files of the model that `nim model` is asked about, in a directory, a cache or on the hub."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from nim.cli.hub import Hub, logger, refuse_offline
from nim.errors import WeightsError
from nim.models.config import ModelConfig
from nim.models.download import wanted_of
from nim.models.files import CONFIG, PARAMS, SMALL_FILES, read_config
from nim.models.source import Source, read_source
from nim.options.derive import cache_entries
from nim.options.layers import environment_entries
from nim.options.resolve import resolve
from nim.plan import Wanted
from nim.planning.host_facts import look_around
from nim.settings import Settings

_PLACE = "the command line"


def find_config(text: str, settings: Settings, environ: Mapping[str, str]) -> ModelConfig:
    """Return the configuration of the model that `text` names. WeightsError where there is none."""
    source = read_source(text, _PLACE)
    if source.path is not None:
        return _of_directory(Path(source.path))
    return _of_repository(source, settings, environ)


def _of_directory(directory: Path) -> ModelConfig:
    if not directory.is_dir():
        what = "it is not a directory" if directory.exists() else "there is no such directory"
        raise WeightsError(
            f"cannot read the model '{directory}': {what}",
            hint="nim model hf://org/name, or another directory",
        )
    if not any((directory / name).is_file() for name in (CONFIG, PARAMS)):
        raise WeightsError(
            f"cannot read the model '{directory}': it has no config.json",
            hint=f"ls {directory}: the directory must hold the model's files themselves",
        )
    try:
        return read_config(directory)
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"cannot read the model '{directory}': {error}", hint="download its small files again"
        ) from None


def _of_repository(source: Source, settings: Settings, environ: Mapping[str, str]) -> ModelConfig:
    """From the cache where its configuration lies there, else from the hub into a directory for a moment."""
    around = look_around(settings, environ)
    cache = tuple(cache_entries(around))
    config = resolve((*cache, *environment_entries(environ, cache, ())))
    wanted = wanted_of(source, config, environ)[0]
    env = {name: str(value.value) for name, value in config.items() if name.startswith("HF_")}
    hub = Hub(logger(settings), environ, env)
    snapshot = hub.snapshot(wanted)
    if snapshot is not None and any((snapshot / name).is_file() for name in (CONFIG, PARAMS)):
        return _of_directory(snapshot)
    refuse_offline(settings, environ, [wanted])
    with tempfile.TemporaryDirectory() as elsewhere:
        return _fetched(hub, wanted, elsewhere)


def _fetched(hub: Hub, wanted: Wanted, elsewhere: str) -> ModelConfig:
    directory = hub.fetch_small(wanted, SMALL_FILES, elsewhere)
    if directory is None:
        raise WeightsError(
            f"cannot read the model {wanted.uri}: it has no config.json",
            hint="hf://… a repository with a model in the format of Hugging Face",
        )
    return _of_directory(directory)
