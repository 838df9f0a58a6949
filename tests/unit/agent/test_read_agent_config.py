"""Reading an agent's file: what it may say, and errors that name the line."""

from pathlib import Path

import pytest

from nim.agent.config.check_components import check_components
from nim.agent.config.read_agent_config import Document, parse_agent_config, read_agent_config
from nim.errors import SettingsError
from nim.plan import Component, FrontEnd

WHOLE = """
general:
  use_uvloop: true
  front_end:
    _type: fastapi
    port: 8000
    max_running_async_jobs: 3
    dask_workers: threads
    workflow:
      method: POST
      openai_api_v1_path: /v1/chat/completions
functions:
  calculator_add:
    _type: calculator_add
  current_datetime:
    _type: current_datetime
llms:
  nim_llm:
    _type: nim
    temperature: 0.0
    max_tokens: 1024
workflow:
  _type: react_agent
  tool_names: [calculator_add, current_datetime]
  llm_name: nim_llm
  verbose: true
  parse_agent_response_max_retries: 3
"""


def parsed(text: str) -> Document:
    document = parse_agent_config(text, "agent.yaml")
    check_components(document, Path("/nowhere/agent.yaml"))
    return document


def test_a_file_of_the_toolkit_is_read() -> None:
    document = parsed(WHOLE)
    assert document.front_end == FrontEnd(openai_api_v1_path="/v1/chat/completions")
    assert document.workflow.kind == "react_agent"
    assert document.llms == {
        "nim_llm": Component(kind="nim", options={"temperature": 0.0, "max_tokens": 1024})
    }
    assert document.jobs == {"max_concurrent": 3, "workers": "threads"}
    assert document.ignored == ("general.use_uvloop", "general.front_end.port")


def test_both_names_of_the_limit_are_one_setting() -> None:
    for name in ("max_concurrent_jobs", "max_running_async_jobs"):
        text = f"general: {{front_end: {{{name}: 3}}}}\nworkflow: {{_type: chat}}"
        assert parsed(text).jobs == {"max_concurrent": 3}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("general: {}", "'workflow' is missing"),
        ("workflow: {}", "workflow: '_type' is missing (agent.yaml:1)"),
        (
            "workflow: {_type: chat}\nworkflows: {}",
            "unknown field 'workflows' in the agent's file (agent.yaml:2)",
        ),
        ("workflow: {_type: chatt}", "'chatt' as workflow._type: it is neither built in nor module.function"),
        ("workflow: {_type: nowhere_at_all.run}", "the module 'nowhere_at_all' of workflow._type"),
        ("workflow: {_type: chat, temperature: 1.0}", "unknown field 'temperature' in workflow"),
        ("workflow: {_type: chat, time_limit_seconds: 0}", "use 0 as workflow.time_limit_seconds"),
        ("workflow: {_type: chat, time_limit_seconds: true}", "it is not a whole number"),
        ("workflow: {_type: react}", "tool_names is missing"),
        ("workflow: {_type: react, tool_names: [a]}", "the tool 'a': functions has no such name"),
        ("workflow: {_type: chat, llm_name: a}", "llm_name 'a': llms has no such name"),
        ("workflow: {_type: chat}\nllms: {a: {_type: aws}}", "'aws' as llms.a._type"),
        ("workflow: {_type: chat}\nllms: {a: {_type: nim, base_url: x}}", "asks this service's own engine"),
        ("workflow: {_type: chat}\nfunctions: {a: {_type: calculator}}", "'calculator' as functions.a._type"),
        ("workflow: {_type: chat}\ngeneral: {front_end: {_type: console}}", "general.front_end._type"),
        ("workflow: {_type: chat}\ngeneral: {front_end: {db_url: a}}", "its address may have a password"),
        (
            "workflow: {_type: chat}\ngeneral: {front_end: {workflow: {path: 'a b'}}}",
            "use 'a b' as general.front_end.workflow.path",
        ),
        ("workflow: {_type: chat}\ngeneral: {front_end: {workflow: {method: GET}}}", "workflow.method"),
        ("- a", "it is not a mapping"),
        ("workflow: [", "agent.yaml"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as error:
        parsed(text)
    assert str(error.value).startswith("cannot ")
    assert said in str(error.value)
    assert error.value.hint


def test_a_module_beside_the_file_is_found(tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text("workflow: {_type: beside.run}", encoding="utf-8")
    (tmp_path / "beside.py").write_text("raise SystemExit('nothing is imported to check')", encoding="utf-8")
    check_components(read_agent_config(file), file)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        read_agent_config(tmp_path / "agent.yaml")
