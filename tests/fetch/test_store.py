"""`nim store` writes a directory that can be served by its path, complete or not at all."""

import json
import os
from pathlib import Path

import pytest

from nim.errors import SettingsError, WeightsError
from nim.fetch.create_model_store import NOTE, Note, make_store
from nim.models.checkpoint.read_local_model import read_local_model
from tests.fetch.conftest import FILES, SHARD, Commands

TAKEN = {name for name, taken in FILES.items() if taken}
WHOLE = Note(source="hf://org/name", commit="abc", complete=True)


def files_in(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def originals(directory: Path) -> dict[str, Path]:
    names = ("config.json", "model.safetensors", "tokenizer.json", "sub/chat.jinja")
    for name in names:
        path = directory / "origin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"a": 1}')
    return {name: directory / "origin" / name for name in names}


def test_from_the_hub_once_and_again(nim: Commands, tmp_path: Path) -> None:
    store = tmp_path / "store"
    command = ("create-model-store", "--model-repo", "hf://org/good", "--model-store", str(store))
    done = nim(*command, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["source"], told["files"], told["added"], told["linked"]) == ("hf://org/good", 6, 6, 2)
    assert files_in(store) == TAKEN | {NOTE}
    assert not [path for path in store.rglob("*") if path.is_symlink()]
    again = nim(*command, "--json", NIM_DISABLE_MODEL_DOWNLOAD="1")
    assert json.loads(again.stdout) | {"added": 6, "linked": 2} == told
    assert json.loads(again.stdout)["added"] == 0
    other = nim("store", "--model-repo", "hf://org/cut:v1", "-m", str(store))
    assert other.returncode == 2
    assert "it is one of hf://org/good" in other.stderr


def test_from_a_cache_that_has_not_all(nim: Commands, tmp_path: Path) -> None:
    command = ("download-model", "--model-repo", "hf://org/good", "--workspace-path", str(tmp_path / "store"))
    assert nim("fetch", "--model-uri", "hf://org/good").returncode == 0
    next(nim.directory("good").rglob(f"snapshots/*/{SHARD}")).unlink()
    done = nim(*command, HF_HUB_OFFLINE="1")
    assert done.returncode == WeightsError.exit_code
    assert "has not all of it, and HF_HUB_OFFLINE says to fetch nothing" in done.stderr
    assert not (tmp_path / "store").exists()


def test_a_store_is_not_made_of_what_cannot_be_loaded(nim: Commands, tmp_path: Path) -> None:
    for env in ({}, {"HF_HUB_OFFLINE": "1"}):
        done = nim("store", "--model-repo", "hf://org/pointers", "-m", str(tmp_path / "store"), **env)
        assert done.returncode == WeightsError.exit_code
        assert "it is a Git LFS pointer" in done.stderr
        assert not (tmp_path / "store").exists()


def test_of_the_demo_model_and_its_profile(nim: Commands, tmp_path: Path) -> None:
    done = nim("store", "-p", "vllm-cpu-bf16-tp1-pp1", "-m", str(tmp_path / "a"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"NIM_MODEL_PATH={tmp_path}/a\n")
    assert nim("profiles", str(tmp_path / "a")).returncode == 0


def test_editing_a_store_does_not_change_the_original(nim: Commands, model: Path, tmp_path: Path) -> None:
    """Of one's own directory nothing is shared, of the cache only weights."""
    for name, source in (("a", str(model)), ("b", "hf://org/good")):
        done = nim("store", "--model-repo", source, "-m", str(tmp_path / name))
        assert done.returncode == 0, done.stderr
    mine = [path for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert {path.stat().st_nlink for path in mine} == {1}
    shared = {
        path.name for path in (tmp_path / "b").rglob("*") if path.is_file() and path.stat().st_nlink > 1
    }
    assert shared == {name for name in TAKEN if name.endswith(".safetensors")}


def test_warnings_about_settings_are_written(nim: Commands, tmp_path: Path) -> None:
    done = nim("store", "-m", str(tmp_path / "a"), NIM_MODLE_PATH="x")
    assert "NIM_MODLE_PATH is not known: did you mean NIM_MODEL_PATH?" in done.stderr


def test_half_a_store_is_none_and_is_completed(tmp_path: Path) -> None:
    files, store = originals(tmp_path), tmp_path / "store"
    files["model.safetensors"].unlink()
    with pytest.raises(FileNotFoundError):
        make_store(store, files, WHOLE)
    files = originals(tmp_path)
    files["config.json"].chmod(0o644)
    broken = {**files, "config.json": tmp_path / "origin" / "sub"}  # comes last, and cannot be copied
    with pytest.raises(Exception, match="cannot make a store"):
        make_store(store, broken, WHOLE)
    assert (store / "model.safetensors").exists()
    with pytest.raises(WeightsError, match=r"no config\.json"):
        read_local_model(store, "here")
    assert make_store(store, files, WHOLE) == (1, 0)
    assert read_local_model(store, "here").config == {"a": 1}
    assert make_store(store, files, WHOLE) == (0, 0)


def test_a_store_whose_file_was_cut_is_mended(tmp_path: Path) -> None:
    files, store = originals(tmp_path), tmp_path / "store"
    make_store(store, files, WHOLE)
    (store / "tokenizer.json").unlink()
    (store / "tokenizer.json").write_text("{")
    assert make_store(store, files, WHOLE)[0] == 2  # and config.json, which is away meanwhile
    assert (store / "tokenizer.json").read_text() == '{"a": 1}'


def test_what_is_something_else_stays_as_it_is(tmp_path: Path) -> None:
    files, store = originals(tmp_path), tmp_path / "store"
    store.mkdir()
    (store / "lost+found").mkdir()  # of a fresh volume
    make_store(store, files, WHOLE)
    with pytest.raises(SettingsError, match=r"it is one of hf://org/name \(abc\)"):
        make_store(store, files, Note(source="hf://org/name", commit="def", complete=True))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    with pytest.raises(SettingsError, match="it is not empty, and no store"):
        make_store(tmp_path / "full", files, WHOLE)
    assert files_in(tmp_path / "full") == {"mine"}


def test_files_of_another_disk_are_copied(tmp_path: Path) -> None:
    shm = Path("/dev/shm")
    if not shm.is_dir() or shm.stat().st_dev == tmp_path.stat().st_dev or not os.access(shm, os.W_OK):
        pytest.skip("there is no other disk here")
    store = shm / f"store-{os.getpid()}"
    files = originals(tmp_path)
    try:
        assert make_store(store, files, WHOLE, links=files) == (4, 0)
        assert files_in(store) == {*files, NOTE}
    finally:
        for path in sorted(store.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        store.rmdir()
