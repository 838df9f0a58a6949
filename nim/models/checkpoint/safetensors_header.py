"""Read the header of a safetensors file: bytes of tensors by type, and whether the file is complete.

The file is 8 bytes that give the header's length, the header in JSON, and the tensors without a gap
(https://huggingface.co/docs/safetensors). Only the header is read.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

LENGTH_BYTES = 8
# The library refuses a longer one.
MOST_HEADER_BYTES = 100_000_000
# As every writer of the format lays an entry out. Parsing the JSON of 90,000 tensors takes twice as long.
_ENTRY = re.compile(
    rb'"dtype"\s*:\s*"(\w+)"\s*,\s*"shape"\s*:\s*\[[^\]]*\]\s*,'
    rb'\s*"data_offsets"\s*:\s*\[\s*(\d+)\s*,\s*(\d+)\s*\]'
)

_END = re.compile(rb'"data_offsets"\s*:\s*\[\s*\d+\s*,\s*(\d+)\s*\]\s*\}\s*\}\s*\Z')
_LAST_ENTRY_BYTES = 4096


class DamagedFile(ValueError):
    """The file cannot be loaded. The text completes "it is …"."""


def read_tensor_bytes(path: Path, *, by_type: bool = True) -> Mapping[str | None, int] | None:
    """Read a file's header and return tensor bytes by type (`BF16`, …), or one sum under the key None.

    None where the file's beginning is not written yet (zeros), or its header is laid out unusually.
    DamagedFile for what the library refuses: too short, or longer than the header says. OSError.
    """
    size = path.stat().st_size
    header = _read_header(path, size)
    if header is None:
        return None
    data = size - LENGTH_BYTES - len(header)
    if not by_type and _last_end(header) == data:
        return {None: data}
    entries = [(kind.decode(), int(begin), int(end)) for kind, begin, end in _ENTRY.findall(header)]
    if not entries:
        return _without_entries(header)
    _check_length(LENGTH_BYTES + len(header) + max(end for _, _, end in entries), size)
    found: Counter[str | None] = Counter()
    for kind, begin, end in entries:
        found[kind] += end - begin
    return found


def _last_end(header: bytes) -> int | None:
    """Return the end offset in the header's last entry, in most files the largest; None if not found."""
    found = _END.search(header, max(len(header) - _LAST_ENTRY_BYTES, 0))
    return int(found[1]) if found else None


def _read_header(path: Path, size: int) -> bytes | None:
    """Read and return the JSON header; None if its length is still 0. DamagedFile if cut or too long."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        if size < LENGTH_BYTES:
            raise DamagedFile(f"cut short: {size} bytes" if size else "empty")
        if length == 0:
            return None
        if length > MOST_HEADER_BYTES:
            raise DamagedFile("not a safetensors file")
        _check_least(LENGTH_BYTES + length, size)
        return file.read(length)


def _without_entries(header: bytes) -> Mapping[str | None, int] | None:
    """Return {} for a header without tensors, None if its layout is unusual; DamagedFile if not JSON."""
    try:
        values = json.loads(header)
    except ValueError:
        raise DamagedFile("not a safetensors file: its header is not JSON") from None
    return None if set(values) - {"__metadata__"} else {}


def _check_least(least: int, size: int) -> None:
    """Raise DamagedFile if the file's `size` is below `least`, the end of its header."""
    if size < least:
        raise DamagedFile(f"cut short: {size:,} bytes, and its header alone takes {least:,}")


def _check_length(expected: int, size: int) -> None:
    """Raise DamagedFile if the file's `size` is not `expected`, what its header states."""
    if size < expected:
        raise DamagedFile(f"cut short: {size:,} of the {expected:,} bytes that its header names")
    if size > expected:
        raise DamagedFile(f"{size - expected:,} bytes longer than its header says")
