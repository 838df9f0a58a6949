"""locks/*.txt: complete, hashed, in agreement with pyproject.toml and with each other."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ROOT / "locks"
EXTRAS = {"cpu": "cpu", "gpu": "gpu", "dev": "dev"}
# Left out of the CPU set-up: they are built for CUDA, or never used without it.
FOR_GPUS = {"torchaudio", "torchcodec", "torchvision", "triton"}


def blocks(kind: str) -> Iterator[tuple[Requirement, list[str]]]:
    """Yield each requirement of a lock with its hashes."""
    text = (LOCKS / f"{kind}.txt").read_text(encoding="utf-8")
    lines = [
        line.strip().removesuffix("\\").strip() for line in text.splitlines() if not line.startswith("#")
    ]
    starts = [number for number, line in enumerate(lines) if not line.startswith("--hash=")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield Requirement(lines[start]), lines[start + 1 : end]


def pinned(kind: str) -> dict[str, set[str]]:
    """Return the versions of each package: several where they depend on Python or the machine."""
    found: dict[str, set[str]] = {}
    for requirement, _ in blocks(kind):
        (pin,) = requirement.specifier
        found.setdefault(canonicalize_name(requirement.name), set()).add(pin.version)
    return found


@pytest.mark.parametrize("kind", [*EXTRAS, "uv"])
def test_every_requirement_is_one_version_with_hashes(kind: str) -> None:
    for requirement, hashes in blocks(kind):
        assert [pin.operator for pin in requirement.specifier] == ["=="], requirement
        assert requirement.url is None
        assert hashes, requirement
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", line) for line in hashes), requirement


@pytest.mark.parametrize("kind", EXTRAS)
def test_what_pyproject_asks_for_is_locked(kind: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = pinned(kind)
    for text in [*project["dependencies"], *project["optional-dependencies"][EXTRAS[kind]]]:
        wanted = Requirement(text)
        found = versions.get(canonicalize_name(wanted.name), set())
        assert found, f"{text} is not in locks/{kind}.txt: make lock"
        assert all(wanted.specifier.contains(one, prereleases=True) for one in found), f"{text}: make lock"


@pytest.mark.parametrize("engine", ["cpu", "gpu"])
def test_tools_and_engine_ask_for_the_same_versions(engine: str) -> None:
    engines, tools = pinned(engine), pinned("dev")
    differing = {name for name in engines.keys() & tools.keys() if not engines[name] & tools[name]}
    assert differing == set(), "make lock"


def test_the_cpu_set_up_has_nothing_for_gpus() -> None:
    names = pinned("cpu").keys()
    assert not names & FOR_GPUS
    assert [name for name in names if name.startswith(("nvidia-", "cuda-"))] == ["nvidia-ml-py"]
    assert all(release.endswith("+cpu") for release in pinned("cpu")["torch"])


def test_nothing_is_missing_from_what_is_installed() -> None:
    """uv takes the requirements of a package from one of its files; that of another platform may say less."""
    if not version("torch").endswith("+cpu"):
        pytest.skip("the set-up for GPUs is not this one")
    present = {canonicalize_name(one.name) for one in distributions()}
    required = [Requirement(text) for one in distributions() for text in one.requires or ()]
    wanted = {
        canonicalize_name(one.name)
        for one in required
        if not one.marker or one.marker.evaluate({"extra": ""})
    }
    assert wanted - present <= FOR_GPUS


def test_constraints_leave_alone_what_is_installed(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("absent-package==1.2 ; python_version > '3' \\\n    --hash=sha256:00\nPyYAML==9.9\n")
    command = [sys.executable, str(LOCKS / "missing.py"), str(lock)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "absent-package==1.2 ; python_version > '3'\n"
