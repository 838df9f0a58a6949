"""The header of a safetensors file, judged by the library that the engine reads it with."""

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nim.models.checkpoint.safetensors_header import DamagedFile, read_tensor_bytes
from tests.unit.models.checkpoint.directories import LFS_POINTER, safetensors, sparse

WHOLE = safetensors({"BF16": 10, "F32": 3, "U8": 5})


def file(directory: Path, content: bytes) -> Path:
    path = directory / "model.safetensors"
    path.write_bytes(content)
    return path


def with_header(header: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + data


def library_reads(path: Path) -> bool:
    """Return whether the engine's library opens it."""
    safetensors = pytest.importorskip("safetensors")
    try:
        with safetensors.safe_open(path, framework="numpy"):
            return True
    except Exception:
        return False


def test_bytes_are_counted_by_type(tmp_path: Path) -> None:
    assert read_tensor_bytes(file(tmp_path, WHOLE)) == {"BF16": 20, "F32": 12, "U8": 5}


def test_a_sum_is_that_of_the_types(tmp_path: Path) -> None:
    assert read_tensor_bytes(file(tmp_path, WHOLE), by_type=False) == {None: 37}
    entry = {"dtype": "F16", "shape": [2]}
    header = {"b": entry | {"data_offsets": [4, 8]}, "a": entry | {"data_offsets": [0, 4]}}
    unordered = file(tmp_path, with_header(json.dumps(header).encode(), bytes(8)))
    assert read_tensor_bytes(unordered, by_type=False) == {"F16": 8}


def test_a_type_counts_once_for_all_its_tensors(tmp_path: Path) -> None:
    entry = {"dtype": "F16", "shape": [2]}
    header = {"a": entry | {"data_offsets": [0, 4]}, "b": entry | {"data_offsets": [4, 8]}}
    spaced = with_header(json.dumps(header, indent=2).encode(), bytes(8))
    assert read_tensor_bytes(file(tmp_path, spaced)) == {"F16": 8}


@pytest.mark.parametrize("size", [8, 1000, 10**13])
def test_zeros_are_unknown(tmp_path: Path, size: int) -> None:
    assert read_tensor_bytes(sparse(tmp_path / "model.safetensors", size)) is None


def test_another_layout_of_the_header_is_unknown(tmp_path: Path) -> None:
    header = {"a": {"data_offsets": [0, 4], "shape": [2], "dtype": "F16"}}
    path = file(tmp_path, with_header(json.dumps(header).encode(), bytes(4)))
    assert read_tensor_bytes(path) is None
    assert library_reads(path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"abc", "cut short: 3 bytes"),
        (WHOLE[:20], "cut short: 20 bytes, and its header alone takes"),
        (WHOLE[:-1], "bytes that its header names"),
        (WHOLE + b"x", "1 bytes longer"),
        (LFS_POINTER, "not a safetensors file"),
        (b"<!DOCTYPE html><html></html>", "not a safetensors file"),
        (with_header(b"{" + b" " * 7), "its header is not JSON"),
    ],
)
def test_what_the_library_refuses_is_named(tmp_path: Path, content: bytes, why: str) -> None:
    path = file(tmp_path, content)
    with pytest.raises(DamagedFile, match=why):
        read_tensor_bytes(path)
    assert not library_reads(path)


@given(
    st.dictionaries(st.sampled_from(["BF16", "F32", "F8_E4M3", "I64"]), st.integers(1, 40), min_size=1),
    st.integers(-3, 60),
)
def test_the_library_and_the_reading_agree(
    tmp_path_factory: pytest.TempPathFactory, elements: dict[str, int], cut: int
) -> None:
    path = file(tmp_path_factory.mktemp("drawn"), safetensors(elements, cut=cut))
    for by_type in (True, False):
        try:
            read = read_tensor_bytes(path, by_type=by_type) is not None
        except DamagedFile:
            read = False
        assert read == library_reads(path)
