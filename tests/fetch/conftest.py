"""A hub with a repository for each mood, and the commands as a user runs them."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from json import dumps
from pathlib import Path

import pytest

from tests.fakes.hub_launch import RunningHub, running_hub
from tests.unit.models.checkpoint.directories import LFS_POINTER, safetensors

ROOT = Path(__file__).resolve().parents[2]
COMMAND_SECONDS = 90
WEIGHTS = b"w" * 300_000
SHARD = "model-00001-of-00002.safetensors"
# What is in the repository that has its weights in every form, and whether vLLM takes it.
FILES: Mapping[str, bool] = {
    "config.json": True,
    "tokenizer.json": True,
    "model.safetensors.index.json": True,
    SHARD: True,
    "model-00002-of-00002.safetensors": True,
    "original/params.json": True,
    "original/model.safetensors": False,
    "pytorch_model.bin": False,
    "model.Q4.gguf": False,
    "onnx/model.onnx": False,
    "picture.png": False,
}


def make_model(directory: Path, files: Mapping[str, bool] = FILES) -> Path:
    """Return a model as far as one can see from outside."""
    for name in files:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content_of(name))
    if "model.safetensors.index.json" in files:
        names = [name for name, taken in files.items() if taken and name.endswith(".safetensors")]
        index = {"metadata": {}, "weight_map": {f"layer.{n}": name for n, name in enumerate(names)}}
        (directory / "model.safetensors.index.json").write_text(dumps(index))
    return directory


def content_of(name: str) -> bytes:
    """Return a file's content, different for each file, so that the hub's cache keeps each."""
    if name.endswith(".json"):
        return dumps({"name": name}).encode()
    if name.endswith(".safetensors"):
        return safetensors({"U8": len(WEIGHTS) + sum(name.encode())})
    return name.encode() + WEIGHTS


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[RunningHub]:
    directory = tmp_path_factory.mktemp("hub")
    none = make_model(directory / "none", {"config.json": True, "model.gguf": False})
    adapter = make_model(
        directory / "adapter", {"adapter_config.json": True, "adapter_model.safetensors": True}
    )
    pointers = make_model(directory / "pointers", {"config.json": True})
    (pointers / "model.safetensors").write_bytes(LFS_POINTER)
    moods: Mapping[str, Mapping[str, object]] = {
        "good": {},
        "private": {"token": "hf_secret"},
        "gated": {"gated": True},
        "ill": {"status": 503},
        "silent": {"silent": True},
        "huge": {"sizes": {SHARD: 10**18}},
        "cut": {"cut": {"file": SHARD, "bytes": 100_000, "times": 1}},
        "dead": {"cut": {"file": SHARD, "bytes": 100_000, "times": 1000}},
        "slow": {"bytes_per_second": 10_000},
        "no-weights": {"path": none},
        "adapter": {"path": adapter},
        "pointers": {"path": pointers},
    }
    repositories = {f"org/{name}": {"path": model, **mood} for name, mood in moods.items()}
    with running_hub(directory, repositories) as running:
        yield running


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """`nim VERB …` with a cache of its own."""

    env: Mapping[str, str]
    cache: Path

    def __call__(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ROOT / "entrypoint.sh", *arguments],
            env={**self.env, **env},
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Return the same, without waiting for its end."""
        return subprocess.Popen(
            [ROOT / "entrypoint.sh", *arguments], env=self.env, stderr=subprocess.PIPE, text=True
        )

    def directory(self, name: str) -> Path:
        """Return where the hub's client keeps a repository."""
        return self.cache / "huggingface" / "hub" / f"models--org--{name}"

    def here(self, name: str) -> set[str]:
        """Return the files of it that are there."""
        snapshots = self.directory(name) / "snapshots"
        paths = [path for path in snapshots.rglob("*") if path.is_file()]
        return {str(path.relative_to(next(snapshots.iterdir()))) for path in paths}


def commands(directory: Path, hub: RunningHub) -> Commands:
    """Return a runner of commands with nothing in their environment but the hub and the cache."""
    mine = ("NIM_", "HF_", "VLLM_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(mine)}
    cache = directory / "cache"
    return Commands(env={**env, "HF_ENDPOINT": hub.url, "NIM_CACHE_PATH": str(cache)}, cache=cache)


@pytest.fixture
def nim(tmp_path: Path, hub: RunningHub) -> Commands:
    return commands(tmp_path, hub)


def end(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    """Return its exit code, and what it had said."""
    process.send_signal(number)
    _, said = process.communicate(timeout=COMMAND_SECONDS)
    return process.returncode, said
