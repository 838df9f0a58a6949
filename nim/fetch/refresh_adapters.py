"""Keep adapters from elsewhere up to date in the cache: `python -I -m nim.fetch.refresh_adapters RUN_DIR`."""

import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from nim.errors import NimError
from nim.fetch.download.fetch_model import fetch_model
from nim.fetch.sources.open_source import open_sources
from nim.models.remote.cache_directories import CURRENT, SNAPSHOTS, find_current, record_path
from nim.plan import PLAN_FILE, Plan, RemoteModel
from nim.redact import known_secrets, without

# Readers of the version before may not have finished.
KEPT_SNAPSHOTS = 2

Log = Callable[[str, str], None]


def is_fetched(remote: RemoteModel) -> bool:
    """Return whether the cache has a version of the adapters."""
    return find_current(Path(remote.directory)) is not None


def fetch_changed(remote: RemoteModel, environ: Mapping[str, str], log: Log) -> None:
    """Fetch adapters that are new or changed, and remove versions before the last; NimError if that fails."""
    done = fetch_model(remote, lambda: open_sources(remote, environ, log), log, refresh=True)
    _remove_old(Path(remote.directory))
    if done.fetched_bytes:
        log("INFO", f"fetched {remote.uri}: {done.files} files of adapters in {done.seconds:.1f} s")


def _remove_old(directory: Path) -> None:
    """Remove all snapshots but the current one and the one before it."""
    current = (directory / CURRENT).resolve()
    others = [path for path in (directory / SNAPSHOTS).iterdir() if path.is_dir() and path != current]
    others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in others[KEPT_SNAPSHOTS - 1 :]:
        record_path(directory, path.name).unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)


def main(run_dir: Path, environ: Mapping[str, str]) -> None:
    """Ask for changes at the plan's interval until the process is ended; what fails is logged once."""
    os.umask(int(environ.get("NIM_UMASK", "077"), 8))
    plan = Plan.from_json((run_dir / PLAN_FILE).read_text(encoding="utf-8"))
    assert plan.adapters
    assert plan.adapters.remote
    level = logging.getLevelNamesMapping().get(plan.log_level.upper(), logging.INFO)
    logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    logger, secrets, fault = logging.getLogger(__spec__.name), known_secrets(environ), ""

    def log(level: str, message: str) -> None:
        """Log one line, secrets masked."""
        logger.log(logging.getLevelNamesMapping()[level], "%s", without(secrets, message))

    while True:
        time.sleep(plan.adapters.refresh_seconds)
        try:
            fetch_changed(plan.adapters.remote, environ, log)
            fault = ""
        except NimError as error:
            if error.message != fault:
                log("ERROR", f"{error.message}; the adapters stay as they are")
            fault = error.message


if __name__ == "__main__":
    main(Path(sys.argv[1]), os.environ)
