"""Other people's tools, each in an environment of its own; `python -m tests.peers.tools` installs them."""

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from bench.peers.install import install
from bench.peers.place import FOLDER, Packages
from bench.peers.rust_routers import VLLM

GUIDELLM = Packages(name="guidellm", pip=("guidellm==0.8.1",), by="make test-peers")
AIPERF = Packages(name="aiperf", pip=("aiperf==0.13.0",), by="make test-peers")
CHECKOV = Packages(name="checkov", pip=("checkov==3.3.30",), by="make test-peers")
AZURITE = Packages(name="azurite", npm=("azurite@3.37.0",), by="make test-peers")
SDKS = Packages(name="sdks", npm=("openai@6.49.0", "@anthropic-ai/sdk@1.14.0"), by="make test-peers")
TOOLS = (GUIDELLM, AIPERF, VLLM, CHECKOV, AZURITE, SDKS)
ENGINE_RELEASE = "0.32.0"  # as in pyproject.toml
# Its source distribution has vLLM's tests.
VLLM_SOURCE = f"vllm=={ENGINE_RELEASE}"
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


def vllm_tests() -> Path:
    """Return the directory that has vLLM's `tests`, whether or not they were unpacked."""
    return FOLDER / "vllm-tests"


def unpack_vllm_tests() -> None:
    """Download vLLM's source distribution and unpack its tests; the build that pip begins is of no device."""
    place = vllm_tests()
    if (place / "tests").is_dir():
        return
    print(f"vllm-tests: downloading {VLLM_SOURCE}", flush=True)
    build = place / "build"
    needed = ("pip", "setuptools", "setuptools-rust", "setuptools-scm", "wheel")
    subprocess.run(["uv", "pip", "install", "-q", "--target", build, *needed], check=True, env=_with_uv())
    quiet = {"VLLM_TARGET_DEVICE": "empty", "VLLM_VERSION_OVERRIDE": ENGINE_RELEASE, "PYTHONPATH": str(build)}
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", "vllm"]
    command += ["--no-build-isolation", "--dest", str(place), VLLM_SOURCE]
    subprocess.run(command, check=True, env={**os.environ, **quiet})
    (archive,) = place.glob("vllm-*.tar.gz")
    with tarfile.open(archive) as source:
        for member in source:
            member.name = member.name.partition("/")[2]
            if member.name.startswith("tests/"):
                source.extract(member, place, filter="data")
    archive.unlink()
    shutil.rmtree(build)


def _with_uv() -> dict[str, str]:
    """Return the environment, with the programs of this project's first on the path."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"}


if __name__ == "__main__":
    status = install(TOOLS)
    unpack_vllm_tests()
    sys.exit(status)
