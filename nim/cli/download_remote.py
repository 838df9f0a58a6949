"""Fetch models from object stores and other servers for `nim fetch` and `nim store`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nim.cli.download_from_hub import Log, logger
from nim.errors import OutOfReach, SettingsError, WeightsError
from nim.fetch.download.fetch_model import complete_record, fetch_model
from nim.fetch.download.list_source import preview, read_small_files
from nim.fetch.sources.open_source import open_sources
from nim.models.checkpoint.findings import Fault, refuse
from nim.models.checkpoint.read_local_model import read_snapshot
from nim.models.checkpoint.select_weight_files import AUTO, needs_weights
from nim.models.remote.cache_directories import CURRENT
from nim.plan import RemoteModel
from nim.preflight.check_directories import check_directory
from nim.settings import Settings

Row = dict[str, Any]


def fetch_remote(
    remote: RemoteModel, settings: Settings, environ: Mapping[str, str], log: Log, *, refresh: bool = False
) -> Row:
    """Fetch what the cache lacks of a model; return a row (dict) on it. NimError if that fails."""
    if refresh or complete_record(remote) is None:
        refuse_if_forbidden(remote, settings, environ)
        check_directory(Path(remote.directory), "NIM_CACHE_PATH", settings.cache_probe_timeout)
    done = fetch_model(
        remote,
        lambda: open_sources(remote, environ, log),
        log,
        refresh=refresh,
        show=lambda text: log("INFO", text),
    )
    if needs_weights(remote.load_format):
        refuse(read_snapshot(done.directory, remote.load_format or AUTO).findings, *Fault)
    return {
        "source": remote.uri,
        "directory": str(done.directory),
        "bytes": done.total_bytes,
        "commit": done.version,
        "files": done.files,
        "fetched_bytes": done.fetched_bytes,
        "seconds": round(done.seconds, 1),
    }


def preview_remote(
    remote: RemoteModel, settings: Settings, environ: Mapping[str, str], log: Log, size: int | None
) -> Row:
    """Return a row (dict) on what would be fetched; `size` is the manifest's, for a source out of reach."""
    row: Row = {"source": remote.uri, "directory": str(Path(remote.directory) / CURRENT)}
    record = complete_record(remote)
    if record:
        total = sum(file.size for file in record.files.values())
        return row | _sizes(
            record.version, {name: file.size for name, file in record.files.items()}, {}, total
        )
    try:
        refuse_if_forbidden(remote, settings, environ)
        version, files = preview(remote, open_sources(remote, environ, log), log)
    except (OutOfReach, SettingsError) as error:
        known = "the size is the manifest's, and" if size else "neither the size nor"
        log("WARNING", f"{known} the files are {'not ' if size else ''}known: {error.message}")
        return row | {"bytes": size}
    return row | _sizes(version, files, files, sum(files.values()))


def refuse_if_forbidden(remote: RemoteModel, settings: Settings, environ: Mapping[str, str]) -> None:
    """Raise SettingsError if a setting forbids downloads."""
    if settings.disable_model_download:
        name = settings.names_used["disable_model_download"]
        message = f"cannot fetch {remote.uri}: {name}={environ[name]} says to fetch nothing"
        raise SettingsError(message, hint=f"unset {name}")


def remote_files(remote: RemoteModel) -> tuple[dict[str, Path], str]:
    """Return ({name: path in the cache}, version) of a model that is complete in the cache."""
    record = complete_record(remote)
    if record is None:
        raise WeightsError(
            f"cannot find {remote.uri} in '{remote.directory}'", hint=f"nim fetch --model-uri {remote.uri}"
        )
    current = Path(remote.directory).resolve() / CURRENT
    return {name: current.resolve() / name for name in record.files}, record.version


def fetch_small_files(
    remote: RemoteModel, names: Sequence[str], settings: Settings, environ: Mapping[str, str]
) -> Path:
    """Fetch those of the named files that are there into the model's directory, which exists; return it.

    WeightsError if the source has none of them.
    """
    refuse_if_forbidden(remote, settings, environ)
    log, directory = logger(settings, environ), Path(remote.directory)
    found = read_small_files(remote, open_sources(remote, environ, log), log, names)
    if not found:
        message = f"cannot read the model {remote.uri}: it has no config.json"
        raise WeightsError(message, hint="the model's own directory")
    for name, content in found.items():
        (directory / name).write_bytes(content)
    return directory


def _sizes(version: str, files: Mapping[str, int], missing: Mapping[str, int], total: int) -> Row:
    """Return the part of a row that says what there is, and what is missing."""
    return {
        "bytes": total,
        "commit": version,
        "files": len(files),
        "missing_files": sorted(missing),
        "missing_bytes": sum(missing.values()),
    }
