"""Prometheus' own judge of metrics, rules and expressions; `make setup` brings it where it can."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml


def promtool(*arguments: str, text: str = "") -> str:
    """Run promtool and return what it printed; fails the test if it complains, skips without promtool."""
    places = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    program = shutil.which("promtool", path=places)
    if program is None:
        pytest.skip("nothing was judged by promtool: there is none here")
    command = [program, *arguments]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def check_rules(directory: Path, rules: Mapping[str, Any] | None, tests: Iterable[Mapping[str, Any]]) -> None:
    """Fail if one of promtool's unit tests of the rules, or of expressions alone, fails."""
    files = []
    if rules is not None:
        (directory / "rules.yaml").write_text(yaml.safe_dump(dict(rules)), encoding="utf-8")
        files.append(str(directory / "rules.yaml"))
    page = {"rule_files": files, "evaluation_interval": "1m", "tests": list(tests)}
    (directory / "tests.yaml").write_text(yaml.safe_dump(page), encoding="utf-8")
    promtool("test", "rules", str(directory / "tests.yaml"))
