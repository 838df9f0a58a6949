"""`huggingface-cli download`, called as the NIM operator's jobs call it."""

import json
from pathlib import Path

import pytest

from nim.errors import WeightsError
from nim.fetch.create_model_store import NOTE
from tests.fetch.conftest import FILES, Commands

TAKEN = {name for name, taken in FILES.items() if taken}


def job(nim: Commands, volume: Path, repo: str, *more: str, **env: str) -> tuple[int, str, str]:
    """Run the command of a NIMCache with `source.hf`; cache and model are on one volume."""
    command = ("huggingface-cli", "download", repo, "--local-dir", str(volume), "--repo-type", "model", *more)
    variables = {"HF_HUB_OFFLINE": "0", "NIM_CACHE_PATH": str(volume), "HF_HOME": f"{volume}/huggingface/hub"}
    done = nim(*command, **{**variables, **env})
    return done.returncode, done.stdout, done.stderr


def in_store(volume: Path) -> set[str]:
    found = {str(path.relative_to(volume)) for path in volume.rglob("*") if path.is_file()}
    return {name for name in found if not name.startswith("huggingface/")}


def test_a_job_of_the_operator_fills_its_volume(nim: Commands, tmp_path: Path) -> None:
    volume = tmp_path / "model-store"
    (volume / "lost+found").mkdir(parents=True)
    code, out, said = job(nim, volume, "org/good")
    assert code == 0, said
    assert out == f"{volume}\n"
    assert in_store(volume) == TAKEN | {NOTE}
    assert "fetching hf://org/good" in said
    shard = volume / "model-00001-of-00002.safetensors"
    assert shard.stat().st_nlink == 2, "the cache on the same volume has the same bytes, not a copy of them"
    again = job(nim, volume, "org/good")
    assert again[0] == 0
    assert "fetching" not in again[2]


def test_the_volume_is_served_as_the_operator_mounts_it(nim: Commands, tmp_path: Path) -> None:
    volume = tmp_path / "model-store"
    assert job(nim, volume, "org/good")[0] == 0
    env = {"NIM_MODEL_NAME": str(volume), "NIM_CACHE_PATH": str(volume), "NIM_ENGINE_COMMAND": "true"}
    done = nim("plan", "--json", "--gpus", "1xH100", **env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"]["path"] == str(volume)


def test_a_revision_is_fetched(nim: Commands, tmp_path: Path) -> None:
    assert job(nim, tmp_path / "a", "org/good", "--revision", "v1")[0] == 0
    assert json.loads((tmp_path / "a" / NOTE).read_text())["source"] == "hf://org/good:v1"


def test_a_job_that_was_broken_off_goes_on(nim: Commands, tmp_path: Path) -> None:
    volume = tmp_path / "model-store"
    codes = [job(nim, volume, "org/dead")[0], job(nim, volume, "org/dead")[0]]
    assert codes == [WeightsError.exit_code] * 2
    assert not (volume / "config.json").exists(), "which would make it a model"


def test_a_volume_with_other_files_is_refused(nim: Commands, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    code, _, said = job(nim, tmp_path, "org/good")
    assert code == 2
    assert "is not empty, and no store" in said


def test_without_a_directory_the_cache_is_filled(nim: Commands) -> None:
    assert nim("huggingface-cli", "download", "org/good").returncode == 0
    assert list(nim.directory("good").rglob("snapshots/*/config.json"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("download", "org/data", "--repo-type", "dataset"),
            "cannot download org/data as --repo-type 'dataset'",
        ),
        (("whoami",), "invalid choice: 'whoami'"),
        (("download",), "the following arguments are required: REPO"),
    ],
)
def test_what_is_not_done_is_refused(nim: Commands, arguments: tuple[str, ...], said: str) -> None:
    done = nim("huggingface-cli", *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_what_the_hub_refuses_is_named(nim: Commands, tmp_path: Path) -> None:
    code, _, said = job(nim, tmp_path / "a", "org/private")
    assert code == WeightsError.exit_code
    assert "org/private" in said
