"""Lists of checksums beside a model's files, in the format of `sha256sum`."""

import re
from collections.abc import Iterable, Mapping

from nim.fetch.sources.remote_files import Digest, RemoteFile

CHECKSUMS = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](?:\./)?(.+)")


def read_checksums(text: str) -> dict[str, Digest]:
    """Return {name: Digest} of the lines of a SHA256SUMS file; other lines are ignored."""
    found = (_LINE.fullmatch(line.rstrip("\r")) for line in text.split("\n"))
    return {match[2]: Digest(algorithm="sha256", value=match[1].lower()) for match in found if match}


def with_checksums(files: Iterable[RemoteFile], checksums: Mapping[str, Digest]) -> tuple[RemoteFile, ...]:
    """Return the files with the digests of the list, where it names them; sorted, without the list."""
    return tuple(
        RemoteFile(name=file.name, size=file.size, digest=checksums.get(file.name, file.digest), tag=file.tag)
        for file in sorted(files, key=lambda one: one.name)
        if file.name != CHECKSUMS
    )


def checksum_lines(digests: Mapping[str, str]) -> str:
    """Return the text of a SHA256SUMS file for {name: hex digest}, readable by `sha256sum --check`."""
    return "".join(f"{value}  {name}\n" for name, value in sorted(digests.items()))
