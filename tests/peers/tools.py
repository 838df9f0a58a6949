"""Other people's tools, each in an environment of its own; `python -m tests.peers.tools` installs them."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from bench.peers.install import install
from bench.peers.place import Packages
from bench.peers.rust_routers import VLLM

GUIDELLM = Packages(name="guidellm", pip=("guidellm==0.8.1",), by="make test-peers")
AIPERF = Packages(name="aiperf", pip=("aiperf==0.13.0",), by="make test-peers")
CHECKOV = Packages(name="checkov", pip=("checkov==3.3.30",), by="make test-peers")
AZURITE = Packages(name="azurite", npm=("azurite@3.37.0",), by="make test-peers")
TOOLS = (GUIDELLM, AIPERF, VLLM, CHECKOV, AZURITE)
LIMIT_SECONDS = 240


def program(tool: Packages, name: str) -> str:
    """Return the path of a tool's program; skips the test where the tool is not installed."""
    if missing := tool.missing():
        pytest.skip(f"{tool.name} was not tried: {missing}")
    return str(tool.path(f"bin/{name}"))


def environment(directory: Path) -> dict[str, str]:
    """Return variables for a tool: a home of its own, nothing of this project, and no reports to anyone."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("NIM_", "HF_", "VLLM_"))
    }
    quiet = {"DO_NOT_TRACK": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "NO_COLOR": "1"}
    return kept | quiet | {"HOME": str(directory)}


def run(command: Sequence[str], directory: Path, more: Mapping[str, str] | None = None) -> str:
    """Run a tool to its end and return what it printed; fails the test if the tool fails."""
    done = subprocess.run(
        command,
        cwd=directory,
        env=environment(directory) | dict(more or {}),
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-6000:]
    return said


if __name__ == "__main__":
    sys.exit(install(TOOLS))
