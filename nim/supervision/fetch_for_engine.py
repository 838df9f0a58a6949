"""Fetch the model that the engine is about to load, in the process that becomes the engine."""

import sys
from collections.abc import Callable, Mapping
from typing import NoReturn

from nim.errors import NimError
from nim.fetch.format_size import format_size
from nim.plan import RemoteModel
from nim.redact import known_secrets, without


def fetch_for_engine(remote: RemoteModel, environ: Mapping[str, str]) -> None:
    """Fetch what the cache lacks of a model; exit with the error's code if that fails.

    The lines have the form of the engine's own log, whose pipe they go to. Progress is logged by the service.
    """
    from nim.fetch.download.fetch_model import complete_record, fetch_model

    if complete_record(remote):
        return
    from nim.fetch.sources.open_source import open_sources

    log = _log(environ)
    try:
        done = fetch_model(remote, lambda: open_sources(remote, environ, log), log)
    except NimError as error:
        _exit(error, log)
    log("INFO", f"fetched {remote.uri}: {format_size(done.fetched_bytes)} in {done.seconds:.1f} s")


def fetch_adapters_for_engine(remote: RemoteModel, environ: Mapping[str, str]) -> None:
    """Fetch adapters that are new or changed; exit with the error's code if none can be served."""
    from nim.fetch.refresh_adapters import fetch_changed, is_fetched

    log = _log(environ)
    try:
        fetch_changed(remote, environ, log)
    except NimError as error:
        if not is_fetched(remote):
            _exit(error, log)
        log("WARNING", f"{error.message}: the adapters that were fetched before are served")


def _log(environ: Mapping[str, str]) -> Callable[[str, str], None]:
    """Return a function that writes one line of the form LEVEL: message, secrets masked."""
    secrets = known_secrets(environ)

    def log(level: str, message: str) -> None:
        """Write the line to stderr."""
        sys.stderr.write(f"{level}: {without(secrets, message)}\n")
        sys.stderr.flush()

    return log


def _exit(error: NimError, log: Callable[[str, str], None]) -> NoReturn:
    """Log the error and its hint, and exit with its code."""
    log("ERROR", error.message)
    if error.hint:
        log("ERROR", f"hint: {error.hint}")
    sys.exit(error.exit_code)
