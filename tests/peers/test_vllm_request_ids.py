"""vLLM's own tests of request ids, from its source distribution, pass through the whole service."""

import os
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import serving
from tests.peers.tools import VLLM_SOURCE, run, vllm_tests

# The model that vLLM's tests ask for by name.
ASKED_FOR = "hmellor/tiny-random-LlamaForCausalLM"
FILE = "tests/entrypoints/scale_out/render/test_render.py"
PLUGIN = Path(__file__).with_name("vllm_plugin")


def test_vllms_own_tests_pass(tmp_path: Path) -> None:
    source = vllm_tests()
    if not (source / FILE).exists():
        pytest.skip(f"{VLLM_SOURCE} was not tried: make test-peers unpacks it")
    with serving(tmp_path, NIM_SERVED_MODEL_NAME=f"nim/demo,{ASKED_FOR}") as service:
        place = {"PYTHONPATH": f"{source}:{PLUGIN}", "SERVICE_ROOT": service.root}
        command = [sys.executable, "-m", "pytest", "--noconftest", "-q", "-p", "run_against_service"]
        command += ["-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(source)]
        said = run([*command, "-k", "request_id", str(source / FILE)], tmp_path, place)
    assert "5 passed" in said
