"""What the engine refuses for what a model cannot is refused before the start, and nothing else is."""

import shlex
from pathlib import Path

import pytest

from nim.errors import NimError
from nim.hardware import hardware_from_gpus
from nim.planning.plan_request import Request
from nim.planning.planner import decide
from nim.settings import read_settings
from tests.oracle.start_cases import CASES, StartCase
from tests.unit.models.checkpoint.directories import safetensors

GPUS = {"7.5": "1xT4", "9.0": "1xH100"}


def refusal(case: StartCase, tmp_path: Path) -> str | None:
    model = tmp_path / "model"
    model.mkdir()
    (case.write(model) / "model.safetensors").write_bytes(safetensors())
    environ = {"NIM_MODEL_PATH": str(model), "NIM_CACHE_PATH": str(tmp_path / "cache")}
    request = Request(
        settings=read_settings(environ),
        environ=environ,
        hardware=hardware_from_gpus(GPUS[case.capability]),
        arguments=tuple(shlex.split(case.line)),
        other_machine=True,
    )
    try:
        decide(request)
    except NimError as error:
        return str(error)
    return None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_plan_says_what_the_engine_would(tmp_path: Path, case: StartCase) -> None:
    found = refusal(case, tmp_path)
    if case.ours is None:
        assert found is None
    else:
        assert (found or "").startswith("cannot ")
        assert case.ours in (found or "")
