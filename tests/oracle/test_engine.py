"""The record equals the installed vLLM's answers, and a pretended GPU changes no parameter."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from nim.data_paths import ROOT
from nim.engine.find_installed_engine import find_engine
from nim.manifest.types import KvCache
from nim.models.cache import CacheSettings, find_pool
from nim.models.config.interpret_config import read_model
from nim.models.config.read_config_files import read_config
from nim.selection.memory.kv_cache_cost import stated_reading
from tests.oracle import models, record

pytestmark = [
    pytest.mark.slow,
    pytest.mark.engine,
    pytest.mark.skipif(find_engine() is None, reason="vLLM is not installed"),
    pytest.mark.timeout(600),
]
SIZES = ("1", "2", "3")
JUDGED = ("llama-plain", "deepseek-v3-fp8-blocks", "gemma3-five-to-one", "nemotron-h", "llama-modelopt-nvfp4")
CPU = ("llama-tied", "mixtral-eight-experts", "nemotron-h", "llama-packed-int4", "whisper-encoder-decoder")


def judge(
    platform: str,
    names: tuple[str, ...],
    log: Path,
    *,
    sizes: tuple[str, ...] = SIZES,
    kv_cache_dtype: str = "auto",
) -> dict[str, dict[str, Any]]:
    directories = "".join(f"{models.CORPUS / name}\n" for name in names)
    with log.open("w") as errors:
        done = subprocess.run(
            [sys.executable, "-m", "tests.oracle.judge", platform, ",".join(sizes), kv_cache_dtype],
            cwd=ROOT,
            input=directories,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            check=True,
        )
    return dict(zip(names, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.skipif(find_spec("triton") is None, reason="a pretended GPU needs Triton: pip install triton")
def test_the_engine_says_what_is_recorded(tmp_path: Path) -> None:
    recorded = record.read()
    for name, verdict in judge("9.0", JUDGED, tmp_path / "log").items():
        sizes = verdict.pop("tensor_parallel")
        assert verdict == {fact: recorded[name][fact] for fact in verdict}
        assert sizes == {size: recorded[name]["tensor_parallel"][size] for size in SIZES}


def test_a_pretended_gpu_changes_no_parameter(tmp_path: Path) -> None:
    recorded = record.read()
    for name, verdict in judge("cpu", CPU, tmp_path / "log").items():
        for size, placed in verdict["tensor_parallel"].items():
            platform = recorded[name]["tensor_parallel"][size]
            assert placed.get("parameter_bytes") == platform.get("parameter_bytes"), (name, size)
            assert ("error" in placed) == ("error" in platform), (name, size)


@pytest.mark.skipif(find_spec("triton") is None, reason="a pretended GPU needs Triton: pip install triton")
@pytest.mark.parametrize(
    ("platform", "dtype", "bytes_per_token"),
    [("9.0", "fp8", 656), ("9.0", "fp8_ds_mla", 656), ("9.0", "fp8_e4m3", 576), ("10.0", "fp8", 576)],
)
def test_sparse_attention_in_8_bits(platform: str, dtype: str, bytes_per_token: int, tmp_path: Path) -> None:
    """Hopper's kernels keep scales and 16-bit channels in a latent; an index of 132 bytes lies beside it."""
    name = "deepseek-v32-indexer"
    verdict = judge(platform, (name,), tmp_path / "log", sizes=("1",), kv_cache_dtype=dtype)[name]
    layers, context = verdict["hidden_layers"], verdict["context"]
    engines = verdict["tensor_parallel"]["1"]["cache_bytes"]
    assert engines == layers * context * (bytes_per_token + 132)
    capability = (int(platform.partition(".")[0]), 0)
    settings = CacheSettings(context=context, kv_cache_dtype=dtype, capability=capability)
    stated = stated_reading(KvCache(layers=layers, heads=1, head_dim=288, index_dim=128))
    for reading in (read_model(read_config(models.CORPUS / name)), stated):
        pool = find_pool(reading, settings)
        assert pool is not None
        assert pool.sequence_bytes(context) == engines
