"""Render charts with Helm's library, else its program; skip without either.

As a program (`python helm.py CHART < values.json`) it renders: the library brings a Go runtime with threads
and signal handlers of its own, which have no business in the process of the tests.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.files import CHART, Object, read_all

NAME = "demo"
NOTES = "templates/NOTES.txt"

Values = Mapping[str, Any]


class Refused(Exception):
    """Helm does not render this, and says why."""


def render(values: Values | None = None, chart: Path = CHART) -> list[Object]:
    """Return the chart's objects; skips where there is no Helm."""
    return read_all(text(values, chart))


def text(values: Values | None = None, chart: Path = CHART) -> str:
    """Return the rendered objects as Helm writes them."""
    if find_spec("helm_python"):
        files = _files(json.dumps(values or {}), chart)
        return "\n---\n".join(body for path, body in files.items() if not path.endswith(NOTES))
    if program := shutil.which("helm"):
        return _run([program, "template", NAME, str(chart), "--values", "-"], json.dumps(values or {}))
    pytest.skip("the chart was not rendered: there is neither helm-python-sdk nor a program helm here")


def notes(values: Values | None = None, chart: Path = CHART) -> str:
    """Return the rendered NOTES.txt."""
    if not find_spec("helm_python"):
        pytest.skip("NOTES.txt was not rendered: helm-python-sdk is not installed")
    return _files(json.dumps(values or {}), chart)[f"{chart.name}/{NOTES}"]


@cache
def _files(values: str, chart: Path) -> dict[str, str]:
    files: dict[str, str] = json.loads(_run([sys.executable, __file__, str(chart)], values))
    return files


def _run(command: list[str], values: str) -> str:
    done = subprocess.run(command, input=values, capture_output=True, text=True, timeout=100, check=False)
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


def _main(chart_path: str) -> int:
    from helm_python import Chart, HelmError

    values = json.load(sys.stdin)
    try:
        with Chart.load(chart_path) as chart:
            chart.validate_schema(values)
            print(json.dumps(chart.render(values, name=NAME, namespace="default")))
    except HelmError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1]))
