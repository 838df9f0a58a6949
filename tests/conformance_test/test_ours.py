"""The conformance kit on this project's own commands."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conformance.manifest import problems

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "profiles"
DEMO_MODEL = MANIFESTS / "demo" / "model"


def judge(*arguments: str, seconds: float) -> dict[str, Any]:
    """Return the kit's results by name."""
    command = [sys.executable, "-m", "tests.conformance", "--json", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.stdout, done.stderr
    return {one["name"]: one for one in json.loads(done.stdout)}


def failed(results: dict[str, Any]) -> dict[str, str]:
    return {name: one["reason"] for name, one in results.items() if one["verdict"] == "fail"}


def test_our_commands_are_those_that_users_know() -> None:
    program = str(ROOT / "entrypoint.sh")
    results = judge("--program", program, "--commands-only", "--model-path", str(DEMO_MODEL), seconds=110)
    assert not failed(results)
    assert results["NIM_MODEL_NAME may be a path"]["verdict"] == "pass"


@pytest.mark.parametrize("path", sorted(MANIFESTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_manifest_is_one_that_the_operator_reads(path: Path) -> None:
    """Any of them may be an image's own, and is then printed for it."""
    assert not problems(yaml.safe_load(path.read_text(encoding="utf-8")))
