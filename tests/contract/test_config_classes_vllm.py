"""The configuration classes agree with the installed vLLM and Transformers."""

import json
import os
import subprocess
import sys

import pytest

from nim.data_paths import ROOT
from nim.engine.find_installed_engine import find_engine
from nim.engine.hf_config_defaults import FILE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_engine() is None, reason="vLLM is not installed"),
    pytest.mark.timeout(300),
]
PROGRAM = """
import json, os, sys
answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)  # whatever vLLM prints
from nim.engine.inspection.hf_config_defaults import class_rows
json.dump(class_rows(), answers)
answers.close()
"""


def test_the_committed_classes_are_those_of_the_installed_vllm() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    committed = json.loads(FILE.read_text(encoding="utf-8"))["classes"]
    assert json.loads(done.stdout) == committed, "make engine-options"
