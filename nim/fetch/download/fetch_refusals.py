"""Why a model cannot be fetched, as the errors that users see: the source's, or the disk's."""

import errno
import os
import shutil

from nim.errors import NimError, OutOfReach, PreflightError, WeightsError
from nim.fetch.format_size import format_size
from nim.fetch.sources.remote_files import SourceError, SourceOutOfReach
from nim.models.remote.uris import example_of
from nim.plan import RemoteModel

AGAIN = "the same command again goes on where this one ended"
FULL = (errno.ENOSPC, errno.EDQUOT)


def check_room(remote: RemoteModel, need: int) -> None:
    """Raise PreflightError if the missing bytes do not fit on the cache's disk."""
    free = shutil.disk_usage(remote.directory).free
    if need > free:
        raise PreflightError(
            f"cannot fetch {remote.uri}: {format_size(need)} are missing, and '{remote.directory}' has "
            f"{format_size(free)} free",
            hint=f"df -h '{remote.directory}', or NIM_CACHE_PATH=… elsewhere",
        )


def refusal(remote: RemoteModel, error: SourceError | OSError) -> NimError:
    """Return the NimError for a fetch that failed: of the source, or of the cache's disk."""
    if isinstance(error, SourceError):
        kind = OutOfReach if error.transient or isinstance(error, SourceOutOfReach) else WeightsError
        otherwise = (
            AGAIN if error.transient else f"the directory as its source names it: {example_of(remote.uri)}"
        )
        return kind(f"cannot fetch {remote.uri}: {error.message}", hint=error.hint or otherwise)
    where = error.filename or remote.directory
    if error.errno in FULL:
        message = f"cannot fetch {remote.uri}: no space is left in '{remote.directory}'"
        return PreflightError(message, hint=f"df -h '{remote.directory}'")
    hint = (
        f"chown {os.geteuid()}:{os.getegid()} '{where}'"
        if error.errno in (errno.EACCES, errno.EPERM)
        else None
    )
    return PreflightError(f"cannot fetch {remote.uri} into '{where}': {error.strerror}", hint=hint)
