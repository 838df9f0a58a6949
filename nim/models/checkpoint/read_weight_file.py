"""Check a weight file by its first bytes: weights, or what a failed download leaves in their place."""

import os
from collections.abc import Mapping
from pathlib import Path

from nim.models.checkpoint.explanations.download_again_command import Origin
from nim.models.checkpoint.findings import Fault, Finding
from nim.models.checkpoint.safetensors_header import DamagedFile, read_tensor_bytes

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_MARKUP = (b"<!doctype", b"<html", b"<?xml", b"<error")
_BEGINNING_BYTES = 512
_ZIP = b"PK\x03\x04"


def read_weights_file(
    path: Path, origin: Origin, *, by_type: bool
) -> tuple[Mapping[str | None, int] | None, Finding | None]:
    """Read a file's beginning and return (tensor bytes by type, or None; what is wrong, a Finding or None).

    Without `by_type` they are one sum.
    """
    try:
        with path.open("rb") as file:
            beginning = file.read(_BEGINNING_BYTES)
        if finding := not_the_file(path, beginning, origin):
            return None, finding
        if not any(beginning):
            return None, _placeholder(path, origin)
        if path.suffix == ".safetensors":
            return read_tensor_bytes(path, by_type=by_type), None
        return None, _cut_zip(path, beginning, origin)
    except DamagedFile as damage:
        return None, damaged(path, f"it is {damage}", origin.again(path))
    except OSError as error:
        return None, unreadable(path, error)


def not_the_file(path: Path, beginning: bytes, origin: Origin) -> Finding | None:
    """Return the `Finding` if the beginning is empty, a Git LFS pointer or a web page; None if not."""
    if not beginning:
        return damaged(path, "it is empty", origin.again(path))
    if beginning.startswith(LFS_POINTER):
        hint = f"git -C '{path.parent}' lfs pull, in a clone; else {origin.download}"
        return damaged(path, "it is a Git LFS pointer, not the file itself", hint)
    if beginning[:_BEGINNING_BYTES].lstrip().lower().startswith(_MARKUP):
        why = "it is a web page or an error that a server sent instead of the file"
        return damaged(path, why, origin.again(path))
    return None


def damaged(path: Path, why: str, hint: str) -> Finding:
    """Return the `Finding` "cannot load `path`: `why`" with the fault DAMAGED."""
    return Finding(fault=Fault.DAMAGED, message=f"cannot load '{path}': {why}", hint=hint)


def unreadable(path: Path, error: OSError) -> Finding:
    """Return the `Finding` that this user cannot read a file or directory, with the OS's reason."""
    user = f"{os.geteuid()}:{os.getegid()}"
    message = f"cannot read '{path}' as user {user}: {error.strerror or error}"
    return Finding(fault=Fault.DAMAGED, message=message, hint=f"chmod -R a+rX '{path.parent}'")


def _placeholder(path: Path, origin: Origin) -> Finding:
    """Return the `Finding` that a file begins with zeros: some downloaders set the size first."""
    message = f"cannot load '{path}': it begins with zeros, and only its size is known"
    return Finding(fault=Fault.PLACEHOLDER, message=message, hint=origin.again(path))


def _cut_zip(path: Path, beginning: bytes, origin: Origin) -> Finding | None:
    """Return the `Finding` that a PyTorch file (a zip) is cut short; None if whole or no zip."""
    if not beginning.startswith(_ZIP):
        return None
    from zipfile import is_zipfile  # slow to import, and few models need it

    return (
        None if is_zipfile(path) else damaged(path, "it is cut short: its end is missing", origin.again(path))
    )
