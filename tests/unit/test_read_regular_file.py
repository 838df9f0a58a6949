"""Files that somebody else has named: none is waited for, none is without end."""

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from nim.errors import NimError
from nim.hardware.hardware_file import load_hardware
from nim.health.startup_history import FILE, recall, remember
from nim.manifest.load import load_manifest
from nim.models.hub.check_connection_variables import hub_problems
from nim.read_regular_file import read_bytes, read_text
from nim.settings import with_secrets
from tests.unit.health.test_startup_history import run


def pipe(directory: Path) -> Path:
    os.mkfifo(directory / "pipe")
    return directory / "pipe"


def unix_socket(directory: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(directory / "socket"))
    return directory / "socket"


KINDS = [pipe, unix_socket, lambda _: Path("/dev/zero"), lambda directory: directory]


def test_a_regular_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("größer")
    (tmp_path / "link").symlink_to("file")
    assert read_text(tmp_path / "link", 8) == "größer"


def test_one_byte_too_many(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"123456789")
    with pytest.raises(OSError, match="it is larger than 0 KiB") as refused:
        read_bytes(tmp_path / "file", 8)
    assert refused.value.errno == errno.EFBIG


@pytest.mark.parametrize("kind", KINDS)
def test_anything_else_is_refused_at_once(tmp_path: Path, kind: object) -> None:
    assert callable(kind)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match=r"not a regular file|Is a directory|No such device or address"):
        read_bytes(kind(tmp_path))
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


@pytest.mark.parametrize("kind", KINDS)
def test_every_reader_of_a_named_file_refuses_it(tmp_path: Path, kind: object) -> None:
    assert callable(kind)
    path = kind(tmp_path)
    with pytest.raises(NimError, match="cannot read"):
        load_manifest(path)
    with pytest.raises(NimError, match="cannot read"):
        with_secrets({"HF_TOKEN_FILE": str(path)})
    with pytest.raises(NimError, match="cannot read"):
        load_hardware(path)
    (problem,) = hub_problems({"SSL_CERT_FILE": str(path)})
    assert "cannot use SSL_CERT_FILE" in str(problem)


@pytest.mark.parametrize("damage", ["pipe", '{"starts": {"k": [{"at": 1%s}]}}' % ("0" * 400)])
def test_a_pipe_or_a_huge_number_in_the_shared_start_up_file(tmp_path: Path, damage: str) -> None:
    file = tmp_path / FILE
    if damage == "pipe":
        os.mkfifo(file)
    else:
        file.write_text(damage)
    assert recall(tmp_path, "k").problem
    assert remember(tmp_path, "k", run(1)) is None
    assert recall(tmp_path, "k").runs == (run(1),)


def test_the_command_says_so_in_words(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "nim", "plan", "--gpus", "1xH100"]
    for path in (pipe(tmp_path), Path("/dev/zero")):
        environ = {**os.environ, "NIM_MANIFEST_PATH": str(path)}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (3, False), done.stderr
        assert "it is not a regular file" in done.stderr


@pytest.mark.parametrize(
    "words", ["profiles --check", "profiles --write-ids", "profiles import", "plan --diff"]
)
def test_a_file_that_is_not_text_is_refused_in_words(tmp_path: Path, words: str) -> None:
    (tmp_path / "file").write_bytes(b"schema_version: 2.0.0\nname: \xff")
    command = [sys.executable, "-m", "nim", *words.split(), str(tmp_path / "file")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "cannot read" in done.stdout + done.stderr
