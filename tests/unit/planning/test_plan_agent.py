"""The agent's part of a plan: file, settings and what is installed."""

import json
import subprocess
import sys
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import pytest

from nim.errors import SettingsError
from nim.plan import AgentPlan, Jobs, agent_from_json
from nim.planning import plan_agent as module
from nim.planning.plan_agent import configured_routes, plan_agent
from nim.settings import Settings, read_settings

CHAT = "workflow: {_type: chat}\n"


def settings_of(tmp_path: Path, text: str, **variables: str) -> Settings:
    file = tmp_path / "agent.yaml"
    file.write_text(text, encoding="utf-8")
    return read_settings({"NIM_AGENT_CONFIG": str(file), **variables})


def planned(tmp_path: Path, text: str = CHAT, **variables: str) -> tuple[AgentPlan | None, tuple[str, ...]]:
    return plan_agent(settings_of(tmp_path, text, **variables), {}, "a-model")


def test_without_a_file_there_is_no_agent() -> None:
    assert plan_agent(read_settings({}), {}, "a-model") == (None, ())
    assert configured_routes(read_settings({})) == ()


def test_without_a_file_nothing_of_the_agent_is_imported() -> None:
    program = (
        "import sys; from nim.planning.plan_agent import plan_agent; from nim.settings import read_settings\n"
        "plan_agent(read_settings({}), {}, 'm')\n"
        "sys.exit(any(name.startswith('nim.agent') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_plan_survives_json(tmp_path: Path) -> None:
    text = f"{CHAT}llms: {{a: {{_type: nim, stop: [x]}}}}\nfunctions: {{b: {{_type: current_datetime}}}}"
    plan, _ = planned(tmp_path, text)
    assert plan
    assert agent_from_json(json.loads(json.dumps(asdict(plan)))) == plan


def test_variables_go_before_the_file(tmp_path: Path) -> None:
    text = f"{CHAT}general: {{front_end: {{max_concurrent_jobs: 2, dask_workers: threads}}}}"
    plan, _ = planned(tmp_path, text)
    assert plan
    assert plan.jobs == Jobs(max_concurrent=2, workers="threads")
    variables = {"NIM_AGENT_MAX_CONCURRENT_JOBS": "3", "NIM_AGENT_DASK_WORKERS": "processes"}
    plan, _ = planned(tmp_path, text, **variables)
    assert plan
    assert plan.jobs == Jobs(max_concurrent=3, workers="processes")


@pytest.mark.parametrize(
    "front_end",
    [
        "max_concurrent_jobs: 0",
        "max_concurrent_jobs: many",
        "max_concurrent_jobs: true",
        "dask_workers: foo",
        "dask_log_level: LOUD",
        "scheduler_address: dask",
        "workflow: {path: /v1/models}",
        "workflow: {path: /chat}",
        "workflow: {openai_api_path: /v1/chat/completions}",
        "workflow: {openai_api_v1_path: /v1/health/ready}",
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, front_end: str) -> None:
    with pytest.raises(SettingsError) as error:
        planned(tmp_path, f"{CHAT}general: {{front_end: {{{front_end}}}}}")
    assert error.value.hint


@pytest.mark.parametrize("name", ["NIM_AGENT_MAX_CONCURRENT_JOBS", "NIM_AGENT_DASK_WORKERS"])
def test_variables_are_checked(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        planned(tmp_path, **{name: "0"})


def test_without_the_extra_there_are_no_jobs_and_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "distributed" else find_spec(name))
    plan, warnings = planned(tmp_path)
    assert plan
    assert plan.jobs is None
    (warning,) = warnings
    assert "pip install 'nim[agent]'" in warning
    paths = {route.path for route in configured_routes(settings_of(tmp_path, CHAT))}
    assert "/generate" in paths
    assert not any("async" in path for path in paths)
