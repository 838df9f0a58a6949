"""Compile the mock upstream and the load client, which are in C so as not to dominate the measurement."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[1] / "native"


class CannotMeasure(Exception):
    """Something is missing without which there is nothing to measure."""


@dataclass(frozen=True, slots=True)
class Programs:
    """The compiled programs."""

    mock: Path
    client: Path


def build(folder: Path) -> Programs:
    """Compile the load client and the mock engine; return their paths."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise CannotMeasure(
            "cannot build the load client and the mock upstream: there is no C compiler (cc)\n"
            "  hint: apt-get install gcc libc6-dev (Fedora: dnf install gcc)"
        )
    return Programs(*(_compile(compiler, name, folder) for name in ("mock", "client")))


def _compile(compiler: str, name: str, folder: Path) -> Path:
    program = folder / name
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-fno-strict-aliasing", "-o", str(program)]
    done = subprocess.run(
        [compiler, *flags, str(SOURCES / f"{name}.c")], check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise CannotMeasure(f"cannot compile {name}.c:\n{done.stderr}")
    return program
