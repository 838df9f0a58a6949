"""Our own commands before the kit; tests/e2e has the service, and tests/image the image."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DEMO_MODEL = ROOT / "profiles" / "demo" / "model"
# Commands of NIM's that are not there yet. When they are, these lines go.
MISSING = {"download-to-cache explains itself", "create-model-store explains itself"}


def judge(*arguments: str, seconds: float) -> dict[str, Any]:
    """Results by name."""
    command = [sys.executable, "-m", "tests.conformance", "--json", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.stdout, done.stderr
    return {one["name"]: one for one in json.loads(done.stdout)}


def failed(results: dict[str, Any]) -> dict[str, str]:
    return {name: one["reason"] for name, one in results.items() if one["verdict"] == "fail"}


def test_our_commands_are_those_that_users_know() -> None:
    program = str(ROOT / "entrypoint.sh")
    results = judge("--program", program, "--commands-only", "--model-path", str(DEMO_MODEL), seconds=110)
    assert set(failed(results)) == MISSING, failed(results)
    assert results["NIM_MODEL_NAME may be a path"]["verdict"] == "pass"
