"""Digests as object stores make them, and their comparison with a file's bytes."""

import hashlib
import os
from pathlib import Path

import pytest

from nim.fetch.download.digests import MIB, Hasher, digest_of, is_computable, parse_digest
from nim.fetch.sources.remote_files import Digest


def in_parts(data: bytes, part: int) -> str:
    """Return S3's ETag of an upload in parts, by its definition."""
    parts = [hashlib.md5(data[at : at + part]).digest() for at in range(0, len(data), part)]
    return hashlib.md5(b"".join(parts)).hexdigest()


@pytest.mark.parametrize("part", [5 * MIB, 8 * MIB, 16 * MIB, 8 * 1000**2])
@pytest.mark.parametrize("size", [2 * 16 * MIB, 2 * 16 * MIB - 1, 17 * MIB + 17])
def test_the_parts_of_usual_clients_are_recognized(tmp_path: Path, part: int, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "x").write_bytes(data)
    stated = Digest(algorithm=f"md5-{-(-size // part)}", value=in_parts(data, part))
    assert digest_of(tmp_path / "x", stated) == stated
    (tmp_path / "x").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert digest_of(tmp_path / "x", stated) != stated


def test_parts_of_no_usual_size_are_not_compared() -> None:
    assert not is_computable(Digest(algorithm="md5-1000", value="0" * 32), 1000)
    hasher = Hasher(1000, Digest(algorithm="md5-1000", value="0" * 32))
    assert hasher.expected is None


@pytest.mark.parametrize("algorithm", ["sha256", "md5", "crc32"])
def test_pieces_make_the_digest_of_the_whole(tmp_path: Path, algorithm: str) -> None:
    data = os.urandom(100_000)
    (tmp_path / "x").write_bytes(data)
    like = Digest(algorithm=algorithm, value="")
    hasher = Hasher(len(data), like)
    for at in range(0, len(data), 777):
        hasher.update(memoryview(data)[at : at + 777])
    assert hasher.result() == digest_of(tmp_path / "x", like) == parse_digest(str(hasher.result()))
    if algorithm != "crc32":
        assert hasher.result().value == hashlib.new(algorithm, data).hexdigest()
