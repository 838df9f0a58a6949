"""The routes of generate, with the bodies, streams and errors that clients of the toolkit know."""

import asyncio
import json
from itertools import pairwise
from pathlib import Path

import pytest

from nim.agent import run_workflow
from nim.plan import Component
from tests.agent.conftest import Start
from tests.agent.scripted_engine import USAGE, Turn

HELLO = {"input_message": "Hello"}


async def test_an_echo_is_enveloped(start: Start) -> None:
    agent = await start("own_workflows.echo")
    assert await agent.post("/generate", HELLO) == (200, {"value": "Hello"})
    messages = {"messages": [{"role": "user", "content": "Hello"}], "more": 1}
    assert await agent.post("/generate", messages) == (200, {"value": "Hello"})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": []},
        {"input_message": "a", "messages": [{"role": "user", "content": "b"}]},
        {"input_message": "a", "more": 1},
        [],
        "text",
    ],
)
async def test_other_bodies_are_refused_with_the_place(start: Start, body: object) -> None:
    agent = await start("own_workflows.echo")
    status, answer = await agent.post("/generate", body)
    assert status == 422
    assert all(set(problem) == {"loc", "msg", "type"} for problem in answer["detail"])


async def test_what_is_no_json_is_refused(start: Start) -> None:
    agent = await start("own_workflows.echo")
    for kind in ("application/json", "text/plain"):
        headers = {"Content-Type": kind}
        status, answer = await agent.call("POST", "/generate", data=b"{broken", headers=headers)
        assert (status, list(answer)) == (422, ["detail"])


async def test_a_stream_has_steps_in_markdown_then_the_answer(start: Start) -> None:
    agent = await start("chat", Turn(text='8 > 4 & "q"'))
    events = await agent.events("/generate/stream", HELLO)
    assert [name for name, _ in events] == ["intermediate_data", "intermediate_data", "data"]
    assert events[-1][1] == {"value": '8 > 4 & "q"'}
    _, end, _ = (value for _, value in events)
    assert set(end) == {"id", "parent_id", "type", "name", "payload"}
    assert (end["type"], end["name"]) == ("markdown", "a-model")
    assert "**Input:**\n" in end["payload"]
    assert end["payload"].endswith('**Output:**\n8 &gt; 4 &amp; "q"')


async def test_raw_steps_come_in_order_with_the_engines_usage(start: Start) -> None:
    agent = await start()
    events = await agent.events("/generate/full", HELLO)
    *steps, (name, answer) = events
    assert (name, answer) == ("data", {"value": "Hello to you"})
    kinds = [step["type"] for _, step in steps]
    tokens = ["LLM_NEW_TOKEN"] * 3
    assert kinds == ["WORKFLOW_START", "LLM_START", *tokens, "LLM_END", "WORKFLOW_END"]
    by_kind = {step["type"]: step for _, step in steps}
    payload = json.loads(by_kind["LLM_END"]["payload"])
    assert payload["UUID"] == by_kind["LLM_END"]["id"] == by_kind["LLM_START"]["id"]
    assert payload["usage_info"]["token_usage"] == USAGE
    assert payload["event_timestamp"] >= payload["span_event_timestamp"] > 0
    assert payload["data"]["output"] == "Hello to you"
    data = {kind: json.loads(step["payload"])["data"] for kind, step in by_kind.items()}
    assert data["LLM_START"]["input"] == [{"role": "user", "content": "Hello"}]
    assert data["LLM_NEW_TOKEN"] == {"input": None, "output": None, "chunk": "you"}
    assert by_kind["LLM_END"]["parent_id"] == by_kind["WORKFLOW_START"]["id"]
    assert by_kind["WORKFLOW_END"]["parent_id"] == "root"


@pytest.mark.parametrize(
    ("query", "kinds"),
    [
        ("", None),
        ("?filter_steps=", None),
        ("?filter_steps=none", set()),
        ("?filter_steps=NONE", set()),
        ("?filter_steps=LLM_END,WORKFLOW_END", {"LLM_END", "WORKFLOW_END"}),
        ("?filter_steps=LLM_END%2CWORKFLOW_END", {"LLM_END", "WORKFLOW_END"}),
        ("?filter_steps=LLM_END,%20WORKFLOW_END", {"LLM_END"}),
        ("?filter_steps=llm_end", set()),
        ("?filter_steps=BOGUS", set()),
    ],
)
async def test_steps_can_be_filtered(start: Start, query: str, kinds: set[str] | None) -> None:
    agent = await start()
    events = await agent.events(f"/generate/full{query}", HELLO)
    seen = {value["type"] for name, value in events if name == "intermediate_data"}
    assert seen == kinds if kinds is not None else len(seen) == 5
    assert events[-1] == ("data", {"value": "Hello to you"})


async def test_a_generator_is_sent_in_parts(start: Start) -> None:
    agent = await start("own_workflows.parts")
    assert await agent.events("/generate/stream", HELLO) == [
        ("data", {"value": "one "}),
        ("data", {"value": "two"}),
    ]
    assert await agent.post("/generate", HELLO) == (200, {"value": "one two"})


async def test_a_workflow_that_fails_says_so(start: Start) -> None:
    agent = await start("own_workflows.breaks")
    *parts, (name, last) = await agent.events("/generate/stream", HELLO)
    assert parts == [("data", {"value": "one "}), ("data", {"value": "two"})]
    error = {"code": "workflow_error", "message": "ValueError: no third part", "details": "ValueError"}
    assert (name, last) == ("data", {"error": error})
    assert await agent.post("/generate", HELLO) == (422, error)


async def test_a_time_limit_ends_a_workflow(start: Start) -> None:
    agent = await start("chat", Turn(text="a " * 1000, interval=0.05), time_limit_seconds=1)
    status, answer = await agent.post("/generate", HELLO)
    assert status == 422
    assert "time_limit_seconds" in answer["message"]
    await asyncio.wait_for(agent.engine.aborted.wait(), 10)


@pytest.mark.parametrize("path", ["/generate", "/generate/stream"])
async def test_a_client_that_leaves_ends_the_engines_request(start: Start, path: str) -> None:
    agent = await start("chat", Turn(text="a " * 1000, interval=0.05))
    request = asyncio.create_task(agent.post(path, HELLO))
    async with asyncio.timeout(20):
        while not agent.engine.requests:  # noqa: ASYNC110 - set by another task
            await asyncio.sleep(0.01)
        request.cancel()
        await agent.engine.aborted.wait()


async def test_ids_and_traces_reach_the_engine_and_headers_the_workflow(start: Start) -> None:
    agent = await start(
        "tool_calling",
        Turn(calls=[("now", "{}")]),
        Turn(text="done"),
        functions={"now": Component(kind="current_datetime")},
        tool_names=["now"],
    )
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"X-Request-Id": "mine", "traceparent": trace}
    assert (await agent.post("/generate", HELLO, headers=headers))[0] == 200
    assert [one["x-request-id"] for one in agent.engine.headers] == ["mine", "mine-2"]
    assert {one["traceparent"] for one in agent.engine.headers} == {trace}


async def test_a_workflow_has_the_clients_headers_without_cookies(start: Start) -> None:
    agent = await start("own_workflows.seen")
    headers = {"Cookie": "a=b", "X-Mine": "yes"}
    _, answer = await agent.post("/generate", HELLO, headers=headers)
    assert answer["headers"]["x-mine"] == "yes"
    assert "cookie" not in answer["headers"]


async def test_spans_nest(start: Start) -> None:
    agent = await start(
        "tool_calling",
        Turn(calls=[("add", '{"text": "4 + 4"}')]),
        Turn(text="8"),
        functions={"add": Component(kind="calculator_add")},
        tool_names=["add"],
    )
    steps = [value for name, value in await agent.events("/generate/full", HELLO) if name != "data"]
    order = [step["type"] for step in steps if step["type"] != "LLM_NEW_TOKEN"]
    assert order == [
        "WORKFLOW_START",
        *("LLM_START", "LLM_END", "TOOL_START", "TOOL_END", "LLM_START", "LLM_END"),
        "WORKFLOW_END",
    ]
    stamps = [json.loads(step["payload"])["event_timestamp"] for step in steps]
    assert all(earlier <= later for earlier, later in pairwise(stamps))
    (root,) = {step["id"] for step in steps if step["type"] == "WORKFLOW_START"}
    assert {step["parent_id"] for step in steps if not step["type"].startswith("WORKFLOW")} == {root}


@pytest.mark.parametrize("name", ["many_steps", "many_steps_of_a_thread"])
async def test_steps_that_nobody_reads_end_the_run(
    start: Start, directory: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(run_workflow, "MOST_WAITING", 0 if "thread" in name else 10)
    agent = await start(f"own_workflows.{name}")
    events = await agent.events("/generate/full", HELLO)
    assert events[-1][1]["error"]["message"] == "the client reads too slowly"
    assert not (directory / "runs").exists(), "the run went on"


@pytest.mark.parametrize("name", ["tuple_keys", "cycle"])
async def test_an_answer_that_is_no_json_ends_a_stream_with_an_error(start: Start, name: str) -> None:
    agent = await start(f"own_workflows.{name}")
    for path, end in (
        ("/generate/full", []),
        ("/generate/stream", []),
        ("/chat/stream", [("data", "[DONE]")]),
    ):
        body = {"messages": [{"role": "user", "content": "Hello"}]}
        events = await agent.events(path, body)
        errors = [event for event in events if "error" in event[1]]
        assert events[-1 - len(end) :] == [*errors, *end]
        assert errors[0][1]["error"]["details"] in ("TypeError", "ValueError")


async def test_half_a_surrogate_pair_is_sent_as_it_came(start: Start) -> None:
    agent = await start("own_workflows.echo")
    content = [{"type": "text", "text": "a\ud800"}]
    body = json.dumps({"messages": [{"role": "user", "content": content}]})
    for path in ("/generate/full", "/chat/stream"):
        headers = {"Content-Type": "application/json"}
        async with agent.session.post(f"http://agent{path}", data=body, headers=headers) as answer:
            text = await answer.text()
        assert '"a\\ud800"' in text
        assert "error" not in text


async def test_many_errors_are_answered_in_short(start: Start) -> None:
    agent = await start("own_workflows.echo")
    bad = {"role": "user", "content": 1}
    status, answer = await agent.post("/generate", {"messages": [bad] * 1000})
    assert (status, {problem["loc"][2] for problem in answer["detail"]}) == (422, {0})
    good = [{"role": "user", "content": "a"}]
    for key in ("k" * 1000, "\ud800"):
        biases = {f"{key}{number}": "x" for number in range(1000)}
        text = json.dumps({"messages": good, "logit_bias": biases})
        headers = {"Content-Type": "application/json"}
        status, answer = await agent.call("POST", "/chat", data=text, headers=headers)
        assert (status, len(json.dumps(answer)) < 10_000) == (422, True)


@pytest.mark.parametrize(
    ("name", "message"),
    [("leaves", "RuntimeError: SystemExit(3)"), ("stops", "RuntimeError: StopIteration: 3")],
)
async def test_a_plain_function_ends_only_itself(start: Start, name: str, message: str) -> None:
    agent = await start(f"own_workflows.{name}")
    status, answer = await agent.post("/generate", HELLO)
    assert (status, answer["message"]) == (422, message)
