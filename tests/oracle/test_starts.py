"""vLLM refuses the starts that are refused here for what a model cannot, and takes the others."""

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

from nim.data_paths import ROOT
from nim.engine.find_installed_engine import find_engine
from tests.oracle.start_cases import CASES, StartCase

pytestmark = [
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.skipif(find_engine() is None, reason="vLLM is not installed"),
    pytest.mark.skipif(
        find_spec("triton") is None, reason="a pretended GPU needs Triton: pip install triton"
    ),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str | None]:
    """What vLLM says against each case, by its name."""
    home = tmp_path_factory.mktemp("starts")

    found: dict[str, str | None] = {}
    for capability in sorted({case.capability for case in CASES}):
        cases = [case for case in CASES if case.capability == capability]
        found |= dict(zip((case.name for case in cases), judge(capability, cases, home), strict=True))
    return found


def judge(capability: str, cases: list[StartCase], home: Path) -> list[str | None]:
    requests = []
    for number, case in enumerate(cases):
        directory = home / f"{capability}-{number}"
        directory.mkdir()
        requests.append({"model": str(case.write(directory)), "tokens": shlex.split(case.line)})
    log = home / f"{capability}.log"
    with log.open("w") as errors:
        done = subprocess.run(
            [sys.executable, "-m", "tests.oracle.starts", capability],
            cwd=ROOT,
            input="".join(json.dumps(request) + "\n" for request in requests),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            check=False,
        )
    assert done.returncode == 0, log.read_text()[-4000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_engine_says_the_same(refusals: Mapping[str, str | None], case: StartCase) -> None:
    refusal = refusals[case.name]
    if case.theirs is None:
        assert refusal is None
    else:
        assert case.theirs in (refusal or "")
