"""Copy a model to a mirror: its files, then a SHA256SUMS file, without which a mirror has no digests."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from nim.errors import WeightsError
from nim.fetch.download.digests import SHA256, digest_of
from nim.fetch.sources.checksum_lists import CHECKSUMS, checksum_lines, read_checksums
from nim.fetch.sources.remote_files import Digest, SourceError
from nim.frozen_dataclass import frozen_dataclass

_FORM = Digest(algorithm=SHA256, value="")


@frozen_dataclass
class Mirrored:
    """What a mirror has of a model, and how much of it was copied now."""

    total_bytes: int
    copied_files: int
    copied_bytes: int


class Target(Protocol):
    """Where a mirror is written. All methods raise SourceError."""

    uri: str

    def sizes(self) -> dict[str, int]:
        """Return {name: bytes} of the files that are there."""

    def checksums(self) -> str:
        """Return the text of the list of checksums that is there; "" without one."""

    def put(self, name: str, path: Path) -> None:
        """Copy a file to this name."""

    def put_text(self, name: str, text: str) -> None:
        """Write a text to this name."""


def write_mirror(target: Target, files: Mapping[str, Path]) -> Mirrored:
    """Copy the files that the target lacks, then the list of checksums; return Mirrored. WeightsError."""
    copied: list[int] = []
    try:
        sizes, known = target.sizes(), read_checksums(target.checksums())
        digests = {name: digest_of(path.resolve(), _FORM) for name, path in files.items()}
        for name, path in files.items():
            size = path.stat().st_size
            if sizes.get(name) != size or known.get(name) != digests[name]:
                target.put(name, path.resolve())
                copied.append(size)
        text = checksum_lines({name: digest.value for name, digest in digests.items()})
        if copied or set(known) != set(files):
            target.put_text(CHECKSUMS, text)
    except SourceError as error:
        raise WeightsError(f"cannot mirror to {target.uri}: {error.message}", hint=error.hint) from error
    except OSError as error:
        message = f"cannot mirror to {target.uri}: {error.filename or ''}: {error.strerror}"
        raise WeightsError(message, hint=f"df -h '{target.uri}'") from error
    total = sum(path.stat().st_size for path in files.values())
    return Mirrored(total_bytes=total, copied_files=len(copied), copied_bytes=sum(copied))
