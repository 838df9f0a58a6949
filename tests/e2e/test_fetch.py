"""A model from a hub: fetched beforehand and served offline, or downloaded by the first start."""

import json
import re
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import ROOT, Service, serving
from tests.fakes.hub_launch import RunningHub, running_hub
from tests.fetch.conftest import commands

pytestmark = [pytest.mark.engine, pytest.mark.own_engine, pytest.mark.timeout(900)]
DEMO = ROOT / "profiles" / "demo" / "model"
# Each shard takes more than the 15 s between two lines about a download.
RATE = 100_000
# What the demo's profile knows and a model without one does not; compiling takes a minute.
SETTINGS = {"NIM_DISABLE_CUDA_GRAPH": "1", "NIM_MAX_MODEL_LEN": "512", "VLLM_CPU_KVCACHE_SPACE": "1"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the demo model in two shards with an index, and beside them what no engine wants."""
    from safetensors.torch import load_file, save_file

    directory = tmp_path_factory.mktemp("model") / "demo"
    shutil.copytree(DEMO, directory)
    tensors = load_file(directory / "model.safetensors")
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, own in parts.items():
        save_file({name: tensors[name] for name in own}, directory / file, {"format": "pt"})
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": {n: f for f, own in parts.items() for n in own}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    return directory


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[RunningHub]:
    repositories = {"org/demo": {"path": model, "token": "hf_x", "bytes_per_second": RATE}}
    with running_hub(tmp_path_factory.mktemp("hub"), repositories) as running:
        yield running


def answer(service: Service) -> Any:
    """Return what it says to a greeting."""
    question = {"model": "org/demo", "messages": [{"role": "user", "content": "Hello! How are you?"}]}
    request = urllib.request.Request(
        f"{service.root}/v1/chat/completions",
        data=json.dumps(question | {"max_tokens": 32}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        return json.load(response)["choices"][0]["message"]["content"]


def test_what_was_fetched_is_served_without_a_hub(tmp_path: Path, hub: RunningHub) -> None:
    nim = commands(tmp_path, hub)
    done = nim("fetch", "--model-uri", "hf://org/demo", HF_TOKEN="hf_x")
    assert done.returncode == 0, done.stderr
    before = len(hub.asked())
    sealed = {"NIM_DISABLE_MODEL_DOWNLOAD": "1", "HF_ENDPOINT": hub.url, "NIM_MODEL_PATH": "hf://org/demo"}
    with serving(tmp_path, NIM_CACHE_PATH=str(nim.cache), **SETTINGS, **sealed) as service:
        assert answer(service).endswith("Hello! I'm ready to help.")
        assert service.json("/v1/metadata")["modelInfo"][0]["modelUrl"] == "hf://org/demo"
    assert len(hub.asked()) == before


def test_the_first_start_fetches_by_itself(tmp_path: Path, hub: RunningHub) -> None:
    """It tells the phase and the bytes, becomes ready, and has fetched no more than `nim fetch` would."""
    settings = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_x", "NIM_MODEL_PATH": "hf://org/demo", **SETTINGS}
    with serving(tmp_path, **settings) as service:
        assert answer(service).endswith("Hello! I'm ready to help.")
        startup = service.json("/v1/health/startup")
        phases = {phase["phase"]: phase["seconds"] for phase in startup["phases"]}
        assert phases["fetch"] > 0
        said = service.log.read_text()
    assert re.search(r" nim\] fetched [\d.]+ of 4\.3 MB", said)
    snapshot = next((tmp_path / "cache/huggingface/hub/models--org--demo/snapshots").iterdir())
    assert not list(snapshot.glob("*.bin"))
    assert "hf_x" not in said
