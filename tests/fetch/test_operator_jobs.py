"""The jobs of the NIM operator, as its own job builder makes them (operator_jobs.json), run here."""

import json
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from nim.data_paths import PROFILES
from nim.manifest.load import load_manifest
from tests.fetch.conftest import FILES, Commands

JOBS = json.loads(Path(__file__).with_name("operator_jobs.json").read_text())["jobs"]
TAKEN = {name for name, taken in FILES.items() if taken}
STORE = "/model-store"


def run(nim: Commands, case: str, volume: Path, profile: str = "") -> CompletedProcess[str]:
    """Run a job on `volume`, with the operator's command and variables, but for the hub's address."""
    volume.mkdir()
    job = JOBS[case]
    words = [word.replace(STORE, str(volume)).replace("PROFILE", profile) for word in job["command"]]
    env = {name: value.replace(STORE, str(volume)) for name, value in job["env"].items()}
    env.pop("HF_ENDPOINT", None)
    return nim(*words, **env)


@pytest.mark.parametrize("case", ["hf", "hf-revision", "ngc-endpoint"])
def test_a_job_for_one_model_leaves_it_on_the_volume(nim: Commands, tmp_path: Path, case: str) -> None:
    volume = tmp_path / "volume"
    done = run(nim, case, volume)
    assert done.returncode == 0, done.stderr
    assert {name for name in FILES if (volume / name).is_file()} == TAKEN


def test_a_job_for_an_image_without_a_manifest_writes_one(nim: Commands, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    done = run(nim, "hf-model-free", volume)
    assert done.returncode == 0, done.stderr
    assert load_manifest(volume / "model_manifest.json").profiles
    assert list(volume.rglob("model-00001-of-00002.safetensors"))


@pytest.mark.parametrize("case", ["ngc-all", "ngc-profile"])
def test_a_job_for_profiles_of_the_image_runs(nim: Commands, tmp_path: Path, case: str) -> None:
    profile = load_manifest(PROFILES / "demo.yaml").profiles[0]
    done = run(nim, case, tmp_path / "volume", profile.id)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_job_for_a_data_set_is_refused(nim: Commands, tmp_path: Path) -> None:
    done = run(nim, "hf-dataset", tmp_path / "volume")
    assert done.returncode == 2
    assert "dataset" in done.stderr
