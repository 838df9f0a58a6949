"""The model classes inspected at set-up are those that the pinned vLLM would inspect, and it takes them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nim.data_paths import ROOT
from nim.engine.find_installed_engine import find_engine

ENGINE = find_engine()
pytestmark = [
    pytest.mark.slow,  # its answer changes only with the pinned vLLM
    pytest.mark.engine,
    pytest.mark.skipif(ENGINE is None, reason="vLLM is not installed"),
    pytest.mark.timeout(300),
]
ARCHITECTURES = ("LlamaForCausalLM", "Qwen3MoeForCausalLM", "BertModel")
# vLLM's own way: another process for each class that is not in its cache.
INSPECT = """
import sys
import nim.supervision.run_vllm_cpu
from vllm.model_executor.models import registry
inspect = registry._run_in_subprocess
def told(function):
    print("another process")
    return inspect(function)
registry._run_in_subprocess = told
for name in sys.argv[1:]:
    registry.ModelRegistry.models[name].inspect_model_cls()
"""


def run(cache: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": str(cache), "VLLM_CACHE_ROOT": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout + done.stderr


def infos(cache: Path) -> dict[str, object]:
    return {file.name: json.loads(file.read_text()) for file in (cache / "modelinfos").glob("*.json")}


def test_vllm_finds_in_them_what_it_would_have_found(tmp_path: Path) -> None:
    assert ENGINE is not None
    program = ("-m", "nim.engine.inspection.write_model_infos", "--out", str(tmp_path / "setup"))
    said = run(tmp_path / "other", *program, *ARCHITECTURES)
    ours = tmp_path / "setup" / ENGINE.version
    assert "3 model classes; 0 architectures cannot be imported" in said
    own = run(tmp_path / "own", "-c", INSPECT, *ARCHITECTURES)
    assert own.count("another process") == len(ARCHITECTURES)
    assert infos(ours) == infos(tmp_path / "own")
    found = run(ours, "-c", INSPECT, *ARCHITECTURES)
    assert "another process" not in found
