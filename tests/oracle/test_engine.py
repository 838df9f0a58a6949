"""The record equals the installed vLLM's answers, and a pretended GPU changes no parameter."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from nim.data_paths import ROOT
from nim.engine.installed import find_engine
from tests.oracle import models, record

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(find_engine() is None, reason="vLLM is not installed"),
    pytest.mark.timeout(600),
]
SIZES = ("1", "2", "3")
JUDGED = ("llama-plain", "deepseek-v3-fp8-blocks", "gemma3-five-to-one", "nemotron-h", "llama-modelopt-nvfp4")
CPU = ("llama-tied", "mixtral-eight-experts", "nemotron-h", "llama-packed-int4", "whisper-encoder-decoder")


def judge(platform: str, names: tuple[str, ...], log: Path) -> dict[str, dict[str, Any]]:
    directories = "".join(f"{models.CORPUS / name}\n" for name in names)
    with log.open("w") as errors:
        done = subprocess.run(
            [sys.executable, "-m", "tests.oracle.judge", platform, ",".join(SIZES)],
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
