"""The agent before the real engine: the demo model calls a tool, and answers with its result."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from tests.e2e.conftest import READY_SECONDS, Service, serving
from tests.fakes.launch import wait_until

pytestmark = [pytest.mark.engine, pytest.mark.own_engine, pytest.mark.timeout(3 * READY_SECONDS)]

TOOLS = '''
import json


def get_weather(location: str) -> str:
    """Get the current weather for a city."""
    return json.dumps({"temperature_c": 21, "condition": "sunny"})


def search_docs(query: str) -> str:
    """Search internal documentation."""
    return "nothing"
'''
FILE = """
general:
  front_end:
    _type: fastapi
    dask_workers: threads
    workflow: {openai_api_v1_path: /v1/agent/chat/completions}
functions:
  get_weather: {_type: weather_tools.get_weather}
  search_docs: {_type: weather_tools.search_docs}
llms:
  local: {_type: nim, temperature: 0.0, max_tokens: 256}
workflow:
  _type: tool_calling
  tool_names: [get_weather, search_docs]
"""
QUESTION = "What is the weather in Santa Clara, CA?"


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    directory = tmp_path_factory.mktemp("agent")
    (directory / "weather_tools.py").write_text(TOOLS, encoding="utf-8")
    file: Path = directory / "agent.yaml"
    file.write_text(FILE, encoding="utf-8")
    with serving(directory, NIM_AGENT_CONFIG=str(file)) as service:
        wait_until(lambda: service.get("/agent/openapi.json")[0] == 200, "the agent")
        yield service


def post(service: Service, path: str, body: Any) -> httpx2.Response:
    return httpx2.post(service.root + path, json=body, timeout=120)


def test_the_loop_ends_with_what_the_tool_said(agent: Service) -> None:
    answer = post(agent, "/generate", {"input_message": QUESTION})
    assert answer.status_code == 200, answer.text
    assert "21" in answer.json()["value"]
    assert "sunny" in answer.json()["value"]


def test_steps_have_the_engines_usage(agent: Service) -> None:
    filtered = "/generate/full?filter_steps=LLM_END,TOOL_END,WORKFLOW_END"
    answer = post(agent, filtered, {"input_message": QUESTION})
    lines = [line for line in answer.text.split("\n") if line.startswith("intermediate_data: ")]
    steps = [json.loads(line.removeprefix("intermediate_data: ")) for line in lines]
    assert [step["type"] for step in steps] == ["LLM_END", "TOOL_END", "LLM_END", "WORKFLOW_END"]
    first, _, second, whole = (
        json.loads(step["payload"])["usage_info"]["token_usage"]["total_tokens"] for step in steps
    )
    assert 0 < first < second
    assert whole == first + second


def test_openais_client_streams_the_answer(agent: Service) -> None:
    with openai.OpenAI(api_key="not-needed", base_url=f"{agent.root}/v1/agent") as client:
        stream = client.chat.completions.create(
            model="nvidia/llama-3.1-8b-instruct",
            messages=[{"role": "user", "content": QUESTION}],
            stream=True,
        )
        pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
    assert "sunny" in "".join(pieces)
    assert len(pieces) > 3


def test_a_job_gets_the_same_answer(agent: Service) -> None:
    body = {"input_message": QUESTION, "job_id": "example-job-123", "sync_timeout": 120}
    state = post(agent, "/generate/async", body).json()
    assert state["status"] == "success", state
    assert "sunny" in state["output"]["value"]


def test_the_engines_own_routes_are_as_without_an_agent(agent: Service) -> None:
    with openai.OpenAI(api_key="x", base_url=f"{agent.root}/v1") as client:
        (model,) = client.models.list().data
        answer = client.chat.completions.create(
            model=model.id, messages=[{"role": "user", "content": QUESTION}], max_tokens=5
        )
    assert answer.object == "chat.completion"
