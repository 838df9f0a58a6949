"""The cache directory if none is named, and whoever else could write there."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from nim.errors import PreflightError
from nim.planning import default_cache_directory
from nim.planning.default_cache_directory import default_cache
from nim.planning.read_host_facts import read_host_facts
from nim.settings import read_settings

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
SOMEBODY = 65534


@pytest.fixture(autouse=True)
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The private directory, elsewhere than in /tmp."""

    def path(text: str) -> Path:
        return tmp_path / text.removeprefix("/tmp/")

    monkeypatch.setattr(default_cache_directory, "Path", path)
    return tmp_path / f"nim-cache-{os.geteuid()}"


def make(directory: Path, mode: int = 0o700) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(mode)
    return directory


def test_a_cache_of_ones_own_is_used(tmp_path: Path) -> None:
    assert default_cache(tmp_path, "vllm") == (tmp_path / ".cache" / "nim", None)
    make(tmp_path / ".cache" / "nim" / "vllm", 0o755)
    assert default_cache(tmp_path, "vllm") == (tmp_path / ".cache" / "nim", None)


def test_members_of_ones_own_group_may_write(tmp_path: Path) -> None:
    make(tmp_path / ".cache" / "nim", 0o2775)
    assert default_cache(tmp_path, "vllm")[1] is None


def give_away(directory: Path) -> None:
    os.chown(directory, SOMEBODY, SOMEBODY)


@pytest.mark.parametrize("below", [".cache", ".cache/nim", ".cache/nim/vllm"])
@pytest.mark.parametrize(
    ("open_up", "why"),
    [
        (lambda directory: directory.chmod(0o777), r"others may write in .* \(mode 777\)"),
        pytest.param(give_away, "belongs to user 65534", marks=as_root),
        pytest.param(lambda directory: os.chown(directory, 0, SOMEBODY), "mode 770", marks=as_root),
    ],
)
def test_where_others_may_write_a_private_one_is_used_with_a_word(
    tmp_path: Path, private: Path, below: str, open_up: Callable[[Path], None], why: str
) -> None:
    make(tmp_path / ".cache" / "nim" / "vllm")
    make(tmp_path / below, 0o770)
    open_up(tmp_path / below)
    cache, warning = default_cache(tmp_path, "vllm")
    assert cache == private
    assert re.search(why, warning or "")


def test_a_private_one_that_is_not_private_is_refused(tmp_path: Path, private: Path) -> None:
    make(tmp_path / ".cache" / "nim", 0o777)
    make(private, 0o777)
    with pytest.raises(PreflightError, match="cannot use a cache: others may write"):
        default_cache(tmp_path, "vllm")


@as_root
def test_a_link_that_somebody_else_has_made_is_not_followed(tmp_path: Path, private: Path) -> None:
    make(tmp_path / "theirs")
    (tmp_path / ".cache").symlink_to(tmp_path / "theirs")
    assert default_cache(tmp_path, "vllm")[0] == tmp_path / ".cache" / "nim"
    os.lchown(tmp_path / ".cache", SOMEBODY, SOMEBODY)
    assert default_cache(tmp_path, "vllm")[0] == private


def test_a_cache_that_was_named_is_used_as_it_is(tmp_path: Path) -> None:
    environ = {"NIM_CACHE_PATH": str(make(tmp_path / "shared", 0o777)), "HOME": str(tmp_path)}
    around = read_host_facts(read_settings(environ), environ)
    assert around.cache_dir == str(tmp_path / "shared")
    assert not [warning for warning in around.warnings if "cache" in warning]


def test_the_fallback_holds_the_compiled_code_too(tmp_path: Path, private: Path) -> None:
    make(tmp_path / ".cache" / "nim", 0o777)
    environ = {"HOME": str(tmp_path)}
    around = read_host_facts(read_settings(environ), environ)
    assert (around.cache_dir, around.runtime_cache_dir) == (str(private), f"{private}/vllm")
    assert [warning for warning in around.warnings if f'using the cache "{private}"' in warning]
