"""The loops of tools: by the model's own calls, and by its text."""

import json
from typing import Any

from nim.plan import Component
from tests.agent.conftest import Start
from tests.agent.scripted_engine import Turn

QUESTION = {"input_message": "Is 4 + 4 greater than the current hour of the day"}
FUNCTIONS = {
    name: Component(kind=name) for name in ("calculator_add", "calculator_inequality", "current_datetime")
}
OPTIONS: dict[str, Any] = {"functions": FUNCTIONS, "tool_names": list(FUNCTIONS)}


async def test_a_model_that_calls_tools_answers_the_question(start: Start) -> None:
    agent = await start(
        "tool_calling",
        Turn(calls=[("current_datetime", "{}"), ("calculator_add", '{"text": "4 + 4"}')]),
        Turn(calls=[("calculator_inequality", '{"text": "8 > 16"}')]),
        Turn(text="No, 8 is less than 16."),
        **OPTIONS,
    )
    assert await agent.post("/generate", QUESTION) == (200, {"value": "No, 8 is less than 16."})
    first, second, third = agent.engine.requests
    assert [tool["function"]["name"] for tool in first["tools"]] == list(FUNCTIONS)
    time, total = second["messages"][-2:]
    assert time["content"].startswith("The current time of day is ")
    assert total == {"role": "tool", "tool_call_id": "call-1", "content": "The sum of 4 and 4 is 8"}
    assert third["messages"][-1]["content"] == "The first number 8 is less than the second number 16"


async def test_a_model_that_asks_for_tools_in_text_answers_the_question(start: Start) -> None:
    agent = await start(
        "react",
        Turn(text="Thought: the time\nAction: current_datetime\nAction Input: None"),
        Turn(text="Thought: the sum\nAction: calculator_add\nAction Input: {'text': '4 + 4'}"),
        Turn(text="Thought: compare\nAction: calculator_inequality\nAction Input: 8 > 16\nObservation"),
        Turn(text="Thought: known\nFinal Answer: No, it is not."),
        **OPTIONS,
    )
    assert await agent.post("/generate", QUESTION) == (200, {"value": "No, it is not."})
    last = agent.engine.requests[-1]
    assert "\nObservation:" in last["stop"]
    seen = [m["content"] for m in last["messages"] if m["content"].startswith("Observation: ")]
    assert seen[0].startswith("Observation: The current time of day is ")
    assert seen[1] == "Observation: The sum of 4 and 4 is 8"
    assert seen[2] == "Observation: The first number 8 is less than the second number 16"


async def test_an_answer_out_of_form_is_told_once_then_taken(start: Start) -> None:
    agent = await start("react", Turn(text="It is not."), **OPTIONS)
    assert await agent.post("/generate", QUESTION) == (200, {"value": "It is not."})
    assert len(agent.engine.requests) == 2


async def test_what_a_tool_raises_and_calls_that_cannot_be_are_for_the_model(start: Start) -> None:
    calls = [
        ("bad", '{"text": "x"}'),
        ("nowhere", "{}"),
        ("calculator_add", "no JSON"),
        ("calculator_add", "{}"),
        ("calculator_add", '{"text": "four"}'),
    ]
    agent = await start(
        "tool_calling",
        Turn(calls=calls),
        Turn(text="ok"),
        functions={"bad": Component(kind="own_workflows.explode"), **FUNCTIONS},
        tool_names=["bad", "calculator_add"],
    )
    assert (await agent.post("/generate", QUESTION))[0] == 200
    results = [m["content"] for m in agent.engine.requests[-1]["messages"] if m["role"] == "tool"]
    assert results[0] == "Error: RuntimeError: a tool that raises"
    assert results[1] == "Error: there is no tool 'nowhere'"
    assert results[2].startswith("Error: the arguments of calculator_add must be a JSON object")
    assert results[3] == "Error: cannot call calculator_add: text: Field required"
    assert results[4] == "Error: ValueError: expected two numbers, found 0"


async def test_a_loop_without_end_is_stopped(start: Start) -> None:
    for kind, turn in (
        ("tool_calling", Turn(calls=[("current_datetime", "{}")])),
        ("react", Turn(text="Action: current_datetime\nAction Input: None")),
    ):
        agent = await start(kind, turn, max_iterations=3, **OPTIONS)
        status, answer = await agent.post("/generate", QUESTION)
        assert (status, len(agent.engine.requests)) == (422, 3)
        assert "max_iterations" in answer["message"]
        (agent.socket.parent / "engine.sock").unlink()


async def test_a_tool_is_a_step_with_input_and_output(start: Start) -> None:
    agent = await start(
        "tool_calling", Turn(calls=[("calculator_add", '{"text": "4 + 4"}')]), Turn(text="8"), **OPTIONS
    )
    events = await agent.events("/generate/full?filter_steps=TOOL_END", QUESTION)
    (_, step), _ = events
    payload = json.loads(step["payload"])
    assert payload["data"]["input"] == {"text": "4 + 4"}
    assert payload["data"]["output"] == "The sum of 4 and 4 is 8"
    shown = [v for n, v in await agent.events("/generate/stream", QUESTION) if n == "intermediate_data"]
    assert all(step["name"] in ("a-model", "Tool: calculator_add") for step in shown)


async def test_stop_words_of_the_file_go_with_those_of_the_loop(start: Start) -> None:
    llms = {"local": Component(kind="nim", options={"stop": "END"})}
    agent = await start("react", Turn(text="Final Answer: 8"), llms=llms, **OPTIONS)
    assert (await agent.post("/generate", QUESTION))[0] == 200
    assert agent.engine.requests[-1]["stop"] == ["END", "\nObservation:"]
    body = {"messages": [{"role": "user", "content": "a"}], "stop": ["MINE"]}
    assert (await agent.post("/chat", body))[0] == 200
    assert agent.engine.requests[-1]["stop"] == ["MINE", "\nObservation:"]


async def test_a_result_that_is_no_json_is_for_the_model(start: Start) -> None:
    agent = await start(
        "tool_calling",
        Turn(calls=[("bad", "{}")]),
        Turn(text="ok"),
        functions={"bad": Component(kind="own_workflows.cycle")},
        tool_names=["bad"],
    )
    assert (await agent.post("/generate", QUESTION))[0] == 200
    assert agent.engine.requests[-1]["messages"][-1]["content"].startswith("Error: ValueError: Circular")
