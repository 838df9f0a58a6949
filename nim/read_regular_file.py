"""Reading a file that somebody else has named or written: a regular one, of a bounded size."""

import errno
import os
import stat
from pathlib import Path

MOST_BYTES = 256 * 1024 * 1024
"""More than the largest JSON file of a model, the index of its weights."""


def read_bytes(path: Path | str, most: int = MOST_BYTES) -> bytes:
    """Return the bytes of a regular file; OSError for anything else, and for more than `most` bytes."""
    # Opening a pipe for reading would wait for a writer.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        with os.fdopen(os.dup(fd), "rb") as file:
            content = file.read(most + 1)
    finally:
        os.close(fd)
    if len(content) > most:
        size = f"{most >> 20} MiB" if most >> 20 else f"{most >> 10} KiB"
        raise OSError(errno.EFBIG, f"it is larger than {size}", str(path))
    return content


def read_text(path: Path | str, most: int = MOST_BYTES) -> str:
    """Return a regular file's UTF-8 text; OSError as of `read_bytes`, UnicodeDecodeError otherwise."""
    return read_bytes(path, most).decode("utf-8")
