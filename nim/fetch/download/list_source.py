"""Ask a source what it has of a model, and read its small files; nothing is kept."""

import tempfile
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from nim.fetch.download.fetch_refusals import refusal
from nim.fetch.download.transfer import FIRST_DELAY_SECONDS, TRIES, Log
from nim.fetch.sources.remote_files import RemoteFile, Source, SourceError, version_of
from nim.models.checkpoint.choose_files_to_fetch import adapter_files, files_to_fetch
from nim.models.checkpoint.explanations.download_again_command import Origin
from nim.models.checkpoint.find_shards import read_index
from nim.models.checkpoint.select_weight_files import INDEX, has_index
from nim.plan import RemoteModel


def preview(remote: RemoteModel, source: Source, log: Log) -> tuple[str, dict[str, int]]:
    """Return (version, {name: bytes}) of what would be fetched; nothing is kept. NimError if that fails."""
    try:
        listed = {file.name: file for file in listed_files(source, log, retries=False)}
        index: Collection[str] = ()
        if not remote.adapters and has_index(list(listed), remote.load_format):
            with tempfile.TemporaryDirectory() as elsewhere:
                file = Path(elsewhere) / INDEX
                file.write_bytes(b"".join(source.read(listed[INDEX], 0, listed[INDEX].size)))
                index = index_names(remote, file, list(listed))
    except SourceError as error:
        raise refusal(remote, error) from error
    wanted = wanted_files(remote, list(listed), index)
    return version_of(tuple(listed.values())), {name: listed[name].size for name in wanted}


def wanted_files(remote: RemoteModel, names: Collection[str], index: Collection[str]) -> tuple[str, ...]:
    """Return the sorted names of the files to fetch, of a model or of adapters; WeightsError if none do.

    `index` are the weights that the model's index names.
    """
    if remote.adapters:
        return adapter_files(remote.uri, names)
    return files_to_fetch(remote.uri, names, remote.load_format, remote.ignored, index)


def read_small_files(remote: RemoteModel, source: Source, log: Log, names: Sequence[str]) -> dict[str, bytes]:
    """Return {name: content} of those of the named files that the source has. NimError if that fails."""
    try:
        listed = {file.name: file for file in listed_files(source, log)}
        files = [listed[name] for name in names if name in listed]
        return {file.name: b"".join(source.read(file, 0, file.size)) for file in files}
    except SourceError as error:
        raise refusal(remote, error) from error


def listed_files(source: Source, log: Log, *, retries: bool = True) -> tuple[RemoteFile, ...]:
    """Return the source's files; what is transient is retried with a growing delay, and logged."""
    for number in range(1, TRIES + 1 if retries else 1):
        try:
            return source.files()
        except SourceError as error:
            if not error.transient:
                raise
            delay = FIRST_DELAY_SECONDS * 2.0 ** (number - 1)
            log("WARNING", f"{source.uri}: {error.message}: again in {delay:g} s (try {number} of {TRIES})")
            time.sleep(delay)
    return source.files()


def index_names(remote: RemoteModel, file: Path, names: Collection[str]) -> Collection[str]:
    """Return the weight files that the model's index names; () if it has none or it does not matter."""
    if remote.adapters or not has_index(names, remote.load_format):
        return ()
    return read_index(file, Origin(download=f"nim fetch --refresh --model-uri {remote.uri}"))
