"""Our own commands, and our own image where there is one, before the kit; tests/e2e has the service."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEMO_MODEL = ROOT / "profiles" / "demo" / "model"


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
    assert not failed(results)
    assert results["NIM_MODEL_NAME may be a path"]["verdict"] == "pass"


@pytest.mark.image
@pytest.mark.timeout(900)
def test_our_image_conforms() -> None:
    """PODMAN may have podman's own options; CONFORMANCE_OPTIONS are the kit's."""
    image = os.environ.get("NIM_TEST_IMAGE", "")
    if not image:
        pytest.skip("no image: NIM_TEST_IMAGE names none")
    options = os.environ.get("CONFORMANCE_OPTIONS", "").split()
    options += ["--tool", podman] if (podman := os.environ.get("PODMAN")) else []
    results = judge("--image", image, "--ready-seconds", "600", *options, seconds=850)
    assert not failed(results)
    assert results["the manifest can be printed by sh and cat"]["verdict"] == "pass"
