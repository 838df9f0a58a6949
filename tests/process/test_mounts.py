"""A mount that does not respond is reported and ends the start."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nim.errors import PreflightError
from nim.preflight.check_mounts import Place, probe, run_path_steps
from tests.process.dead_mount import NO_MOUNT

pytestmark = pytest.mark.slow

DEAD_MOUNT = Path(__file__).with_name("dead_mount.py")


def places(*paths: Path) -> Iterator[Place]:
    yield from (Place(path=path, variable="NIM_CACHE_PATH") for path in paths)


def test_the_place_that_does_not_answer_is_named(tmp_path: Path) -> None:
    answered = threading.Event()

    def steps() -> Iterator[Place]:
        yield from places(tmp_path / "quick", tmp_path / "dead")
        answered.wait(60)

    with pytest.raises(PreflightError) as refused:
        run_path_steps(steps(), 0.2)
    answered.set()
    assert refused.value.message == (
        f'cannot use "{tmp_path}/dead" (NIM_CACHE_PATH): it has not answered for 0.2 s '
        "(NIM_CACHE_PROBE_TIMEOUT), as when the server of a network mount is gone"
    )
    assert f"findmnt -T '{tmp_path}/dead'" in str(refused.value.hint)


def test_what_is_held_before_the_first_place_is_not_well(tmp_path: Path) -> None:
    answered = threading.Event()

    def steps() -> Iterator[Place]:
        answered.wait(60)
        yield from places(tmp_path)

    with pytest.raises(PreflightError, match=r"nothing has answered for 0\.2 s"):
        run_path_steps(steps(), 0.2)
    answered.set()


def test_what_is_found_wrong_there_is_raised_here(tmp_path: Path) -> None:
    def steps() -> Iterator[Place]:
        yield from places(tmp_path)
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        run_path_steps(steps(), 60)


@pytest.mark.parametrize("seconds", [0, 60])
def test_what_answers_is_no_matter(tmp_path: Path, seconds: float) -> None:
    probe(places(tmp_path, tmp_path / "not there"), seconds)


def nim(dead: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `nim VERB …` where this directory does not respond."""
    command = [sys.executable, str(DEAD_MOUNT), str(dead), sys.executable, "-m", "nim", *arguments]
    done = subprocess.run(
        command,
        env=os.environ | {"NIM_CACHE_PROBE_TIMEOUT": "1", "NIM_ENGINE_COMMAND": "true", **env},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    if done.returncode == NO_MOUNT:
        pytest.skip(f"no mount that does not answer could be made: {done.stdout}")
    return done


@pytest.mark.parametrize("variable", ["NIM_CACHE_PATH", "NIM_RUNTIME_CACHE_PATH", "TMPDIR", "NIM_MODEL_PATH"])
def test_a_start_on_a_dead_mount_ends_and_names_the_path(tmp_path: Path, variable: str) -> None:
    dead = tmp_path / "dead"
    dead.mkdir()
    done = nim(dead, "serve", **{"NIM_CACHE_PATH": str(tmp_path / "cache"), variable: str(dead)})
    assert f'nim: cannot use "{dead}" ({variable}): it has not answered for 1 s' in done.stderr
    assert done.returncode == 7


def test_a_model_on_the_command_line_is_probed_too(tmp_path: Path) -> None:
    dead = tmp_path / "dead"
    dead.mkdir()
    done = nim(dead, "serve", f"{dead}/model", NIM_CACHE_PATH=str(tmp_path / "cache"))
    assert f'cannot use "{dead}/model" (the command line): it has not answered' in done.stderr
    assert done.returncode == 7


@pytest.mark.parametrize(
    ("verb", "named"),
    [
        (("plan",), "NIM_MODEL_PATH"),
        (("serve", "--dry-run"), "NIM_MODEL_PATH"),
        (("plan", "--gpus", "1xH100", "hf://org/name"), "NIM_CACHE_PATH"),
        (("fetch",), "NIM_MODEL_PATH"),
        (("fetch", "--model-uri", "DEAD"), "--model-uri"),
        (("fetch", "--model-uri", "hf://org/name"), "NIM_CACHE_PATH"),
        (("fetch", "--dry-run", "--model-uri", "hf://org/name"), "NIM_CACHE_PATH"),
        (("store", "-m", "DEAD"), "--model-store"),
        (("store", "-m", "STORE", "--model-repo", "DEAD"), "--model-repo"),
        (("store", "-m", "STORE", "--model-repo", "hf://org/name"), "NIM_CACHE_PATH"),
    ],
)
def test_other_verbs_end_there_too(tmp_path: Path, verb: tuple[str, ...], named: str) -> None:
    dead = tmp_path / "dead"
    dead.mkdir()
    words = [{"DEAD": str(dead), "STORE": str(tmp_path / "store")}.get(word, word) for word in verb]
    env = {named: str(dead)} if named.startswith("NIM_") else {}
    done = nim(dead, *words, **env)
    assert f"({named}): it has not answered for 1 s" in done.stderr
    assert done.returncode == 7


def test_the_models_of_a_manifest_are_searched_in_the_cache(tmp_path: Path) -> None:
    dead = tmp_path / "dead"
    dead.mkdir()
    model = {"NIM_MODEL_NAME": "meta/llama-3.1-8b-instruct", "NIM_CACHE_PATH": str(dead)}
    done = nim(dead, "plan", "--gpus", "1xH100", **model)
    assert "(NIM_CACHE_PATH): it has not answered for 1 s" in done.stderr
    assert done.returncode == 7


def test_paths_that_are_only_read_are_probed_too(tmp_path: Path) -> None:
    dead = tmp_path / "dead"
    dead.mkdir()
    verb = ("store", "-m", str(tmp_path / "store"), "--model-repo", "hf://org/name")
    done = nim(dead, *verb, NIM_CACHE_PATH=str(dead), NIM_DISABLE_MODEL_DOWNLOAD="1")
    assert "(NIM_CACHE_PATH): it has not answered for 1 s" in done.stderr
    assert done.returncode == 7
