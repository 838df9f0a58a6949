"""`nim fetch` with the hub's real client: what is downloaded, and the errors."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nim.manifest import load_manifest
from tests.fakes.hub_launch import RunningHub
from tests.fakes.launch import wait_until
from tests.fetch.conftest import FILES, SHARD, Commands, end

TAKEN = {name for name, taken in FILES.items() if taken}


def test_only_what_the_engine_loads_arrives_and_only_once(nim: Commands, hub: RunningHub) -> None:
    done = nim("fetch", "--model-uri", "hf://org/good", "--json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["sources"]
    assert nim.here("good") == TAKEN
    assert (row["files"], row["directory"]) == (len(TAKEN), str(nim.directory("good")))
    assert row["bytes"] == sum(path.stat().st_size for path in nim.directory("good").rglob("blobs/*"))
    assert row["fetched_bytes"] > 600_000
    assert (nim.directory("good") / "refs" / "main").read_text() == row["commit"]

    before = len(hub.asked())
    again = nim("download-to-cache", "--model-uri", "hf://org/good", "--json")
    assert json.loads(again.stdout)["sources"][0]["fetched_bytes"] == 0
    assert not [line for line in hub.asked()[before:] if "/resolve/" in line or "/stored/" in line]


@pytest.mark.slow
@pytest.mark.parametrize("first", ["*.json", "*"])
def test_what_the_client_finds_offline_after_an_earlier_start(nim: Commands, first: str) -> None:
    """Such a start leaves a listing, for which the client would call the cache incomplete."""

    def client(arguments: str) -> subprocess.CompletedProcess[str]:
        code = f"from huggingface_hub import snapshot_download as get; get('org/good', {arguments})"
        env = {**nim.env, "HF_HOME": str(nim.cache / "huggingface")}
        return subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False
        )

    ours = [name for name in FILES if FILES[name]]
    begun = client(f"allow_patterns={ours if first == '*' else first!r}")
    assert begun.returncode == 0, begun.stderr
    assert nim("fetch", "--model-uri", "hf://org/good").returncode == 0
    offline = client("allow_patterns='*.safetensors', local_files_only=True")
    assert offline.returncode == 0, offline.stderr
    assert nim.here("good") == TAKEN


def test_a_dry_run_leaves_nothing(nim: Commands) -> None:
    done = nim("fetch", "--model-uri", "hf://org/good", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert {line.strip() for line in done.stdout.splitlines()[1:]} == TAKEN
    assert not nim.directory("good").exists()


def test_a_dry_run_without_a_hub_says_what_the_manifest_does(nim: Commands) -> None:
    out_of_reach = {"HF_ENDPOINT": "http://127.0.0.1:9", "NIM_MODEL_NAME": "meta/llama-3.1-8b-instruct"}
    done = nim("fetch", "--dry-run", "-p", "vllm-bf16-tp1-pp1", **out_of_reach)
    assert done.returncode == 0, done.stderr
    assert "hf://meta-llama/Llama-3.1-8B-Instruct: 16.1 GB, in " in done.stdout
    assert "the size is the manifest's, and the files are not known: " in done.stderr
    done = nim("fetch", "--dry-run", "--model-uri", "hf://org/good", HF_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 0, done.stderr
    assert "neither the size nor the files are known: " in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gated", "private", "absent", "good:v9", "no-weights"])
def test_a_dry_run_is_refused_what_the_hub_denies(nim: Commands, name: str) -> None:
    done = nim("fetch", "--dry-run", "--model-uri", f"hf://org/{name}")
    assert (done.returncode, done.stdout) == (6, "")
    assert done.stderr.startswith("nim: cannot ")


def test_profiles_of_the_same_source_are_one(nim: Commands) -> None:
    """--all needs no GPU; the default needs one only where it makes a difference."""
    model = {"NIM_MODEL_NAME": "meta/llama-3.1-8b-instruct", "NIM_DISABLE_MODEL_DOWNLOAD": "1"}
    done = nim("fetch", "--all", "--dry-run", "--json", **model)
    names = [row["source"].rpartition("/")[2] for row in json.loads(done.stdout)["sources"]]
    assert sorted(names) == [f"Llama-3.1-8B-Instruct{end}" for end in ("", "-FP8", "-NVFP4")]
    done = nim("fetch", "--dry-run", "--gpus", "1xH200", **model)
    assert "FP8" in done.stdout
    done = nim("fetch", "--dry-run", "-p", "vllm-bf16-tp1-pp1", "vllm-bf16-tp2-pp1+eagle3", **model)
    assert [line.partition(": ")[0] for line in done.stdout.splitlines()] == [
        "hf://meta-llama/Llama-3.1-8B-Instruct",
        "hf://RedHatAI/Llama-3.1-8B-Instruct-speculator.eagle3",
    ]


def test_a_directory_needs_no_fetching(nim: Commands) -> None:
    done = nim("download-to-cache")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("/profiles/demo/model: a directory, nothing is to be fetched\n")


def test_the_manifest_that_is_written_can_be_used(nim: Commands, tmp_path: Path) -> None:
    file = tmp_path / "model_manifest.json"
    done = nim("fetch", "--model-uri", "hf://org/good:v1", "--manifest-file", str(file))
    assert done.returncode == 0, done.stderr
    manifest = load_manifest(file)
    assert manifest.name == "org/good"
    assert {profile.source for profile in manifest.profiles} == {"hf://org/good:v1"}
    done = nim("fetch", "--manifest-file", str(file), "--json")
    assert json.loads(done.stdout)["sources"][0]["fetched_bytes"] == 0


def test_a_manifest_is_written_for_a_local_model(nim: Commands, model: Path, tmp_path: Path) -> None:
    file = tmp_path / "model_manifest.json"
    done = nim("fetch", "--model-uri", str(model), "--manifest-file", str(file))
    assert done.returncode == 0, done.stderr
    assert {profile.source for profile in load_manifest(file).profiles} == {str(model)}
    assert nim("fetch", "--manifest-file", str(file)).stdout.startswith(f"{model}: a directory")


def test_a_place_where_no_manifest_can_be_is_refused_first(
    nim: Commands, hub: RunningHub, tmp_path: Path
) -> None:
    before = len(hub.asked())
    for file, words in (
        (tmp_path / "typo" / "deep" / "m.json", f"there is no directory '{tmp_path}/typo/deep'"),
        (tmp_path, "it is a directory"),
        (Path("/proc/m.json"), "cannot make a file in '/proc'"),
    ):
        done = nim("fetch", "--model-uri", "hf://org/good", "--manifest-file", str(file))
        assert done.returncode in (2, 7)
        assert done.stderr.startswith(f"nim: cannot write the manifest '{file}' (--manifest-file): ")
        assert words in done.stderr
    assert len(hub.asked()) == before
    assert not (tmp_path / "typo").exists()


def test_a_token_may_be_in_a_file_and_is_never_shown(nim: Commands, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hf_secret\n")
    done = nim("fetch", "--model-uri", "hf://org/private", HF_TOKEN_FILE=str(tmp_path / "token"))
    assert done.returncode == 0, done.stderr
    assert nim.here("private") == TAKEN
    assert "hf_secret" not in done.stdout + done.stderr


def test_a_connection_that_breaks_off_is_gone_on_with(nim: Commands) -> None:
    done = nim("fetch", "--model-uri", "hf://org/cut", NIM_JSONL_LOGGING="1")
    assert done.returncode == 0, done.stderr
    warned = [line for line in map(json.loads, done.stderr.splitlines()) if line["level"] == "WARNING"]
    assert "Trying to resume download" in warned[0]["message"]
    assert nim.here("cut") == TAKEN


@pytest.mark.parametrize(
    ("source", "env", "code", "words"),
    [
        ("gated", {}, 6, "granted access (403), and HF_TOKEN is not set"),
        ("gated", {"HF_TOKEN": "x"}, 6, "granted access (403), and it was asked with the HF_TOKEN"),
        ("gated", {"HUGGING_FACE_HUB_TOKEN": "x"}, 6, "asked with the HUGGING_FACE_HUB_TOKEN that is set"),
        ("gated", {"HUGGINGFACE_TOKEN": "x"}, 6, "is not set: HUGGINGFACE_TOKEN is, which is not read"),
        ("private", {"HF_TOKEN": "x"}, 6, "no such repository, or it is private (401)"),
        ("absent", {}, 6, "no such repository, or it is private (401), and HF_TOKEN is not set"),
        ("good:v9", {}, 6, "org/good has no revision 'v9'"),
        ("ill", {}, 6, "answered 503 out of order"),
        ("silent", {"HF_HUB_ETAG_TIMEOUT": "1"}, 6, "did not answer in time"),
        ("good", {"HF_ENDPOINT": "http://127.0.0.1:9"}, 6, "http://127.0.0.1:9 is out of reach: "),
        ("no-weights", {}, 6, "no weights among its 2 files that vLLM loads"),
        ("adapter", {}, 6, "it is an adapter, not a model"),
        ("pointers", {}, 6, "it is a Git LFS pointer, not the file itself"),
        ("huge", {}, 7, "1000000000.0 GB are missing, and "),
        (
            "good",
            {"NIM_DISABLE_MODEL_DOWNLOAD": "1"},
            2,
            "NIM_DISABLE_MODEL_DOWNLOAD=1 says to fetch nothing",
        ),
        ("good", {"HF_HUB_OFFLINE": "1"}, 2, "HF_HUB_OFFLINE=1 says to fetch nothing"),
        ("good", {"NIM_CACHE_PATH": "/dev/null/cache"}, 7, "cannot write in the cache directory"),
    ],
)
def test_each_failure_says_its_cause(
    nim: Commands, source: str, env: dict[str, str], code: int, words: str
) -> None:
    done = nim("fetch", "--model-uri", f"hf://org/{source}", **env)
    assert done.returncode == code, done.stderr
    message, *_, hint = [line for line in done.stderr.splitlines() if " nim] " not in line]
    assert words in message
    assert message.startswith("nim: cannot ")
    assert hint.startswith("  hint: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("uri", ["ngc://nim/meta/llama", "modelscope://good", "hf://good", "/nowhere"])
def test_other_sources_are_refused_as_at_a_start(nim: Commands, uri: str) -> None:
    done = nim("fetch", "--model-uri", uri)
    assert done.returncode in (2, 6)
    assert done.stderr.startswith("nim: cannot ")


def test_an_interrupted_download_keeps_complete_files_and_resumes(nim: Commands) -> None:
    done = nim("fetch", "--model-uri", "hf://org/dead")
    assert done.returncode == 6
    assert " broke off: " in done.stderr.splitlines()[-2]
    assert nim.here("dead") == TAKEN - {SHARD}
    assert not list(nim.directory("dead").rglob("*.incomplete"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once_and_leaves_no_parts(nim: Commands, number: signal.Signals) -> None:
    process = nim.begin("fetch", "--model-uri", "hf://org/slow")
    parts = nim.directory("slow") / "blobs"
    wait_until(lambda: list(parts.glob("*.incomplete")) and len(nim.here("slow")) == len(TAKEN) - 2, "parts")
    code, said = end(process, number)
    assert code == 128 + number
    last = said.splitlines()[-1]
    assert f"stopped by {number.name}: whole files are kept" in last
    assert not list(parts.glob("*.incomplete"))
    assert len(nim.here("slow")) == len(TAKEN) - 2


def test_what_a_killed_download_left_is_removed_when_it_is_old(nim: Commands) -> None:
    blobs = nim.directory("good") / "blobs"
    blobs.mkdir(parents=True)
    for name, age in (("old", 7200), ("young", 60)):
        part = blobs / f"{name}.12345678.incomplete"
        part.write_bytes(b"x" * 5000)
        moment = part.stat().st_mtime - age
        os.utime(part, (moment, moment))
    done = nim("fetch", "--model-uri", "hf://org/good")
    assert "old.12345678.incomplete" in done.stderr
    assert [path.name for path in blobs.glob("*.incomplete")] == ["young.12345678.incomplete"]
