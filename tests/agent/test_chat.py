"""The routes of chat, asked as OpenAI's clients ask."""

import time
from typing import Any

import httpx2
import openai
import pytest

from nim.plan import Component, FrontEnd
from tests.agent.conftest import Agent, Start
from tests.agent.scripted_engine import USAGE, Turn

CHAT = {"messages": [{"role": "user", "content": "Hello"}]}
V1 = FrontEnd(openai_api_v1_path="/v1/chat/completions")


async def test_an_answer_is_a_completion_with_the_engines_usage(start: Start) -> None:
    agent = await start()
    status, answer = await agent.post("/chat", CHAT)
    assert status == 200
    assert answer["object"] == "chat.completion"
    assert abs(answer["created"] - time.time()) < 60
    message = {"role": "assistant", "content": "Hello to you"}
    assert answer["choices"] == [{"index": 0, "message": message, "finish_reason": "stop"}]
    assert (answer["model"], answer["usage"]) == ("a-model", USAGE)


async def test_without_a_model_the_words_are_counted(start: Start) -> None:
    agent = await start("own_workflows.parts")
    _, answer = await agent.post("/chat", CHAT)
    assert answer["usage"] == {"prompt_tokens": 0, "completion_tokens": 2, "total_tokens": 2}


async def test_a_stream_has_chunks_steps_and_an_end(start: Start) -> None:
    agent = await start()
    events = await agent.events("/chat/stream", {**CHAT, "stream_options": {"include_usage": True}})
    assert events[-1] == ("data", "[DONE]")
    assert any(name == "intermediate_data" for name, _ in events)
    *chunks, last, usage = [value for name, value in events[:-1] if name == "data"]
    assert all("message" not in chunk["choices"][0] for chunk in chunks)
    text = "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks)
    assert (text, len(chunks)) == ("Hello to you", 3)
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 3
    assert last["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    assert usage["usage"] == USAGE


async def test_an_error_in_a_stream_is_an_event_before_the_end(start: Start) -> None:
    agent = await start("own_workflows.breaks")
    events = await agent.events("/chat/stream", CHAT)
    assert events[-2][1]["error"]["message"] == "ValueError: no third part"
    assert events[-1] == ("data", "[DONE]")


async def test_parts_of_a_content_reach_the_workflow(start: Start) -> None:
    agent = await start("own_workflows.seen")
    content = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:,x"}}]
    body = {"messages": [{"role": "user", "content": content}]}
    status, answer = await agent.post("/chat", body)
    assert status == 200
    assert str(content[1]["image_url"]["url"]) in answer["choices"][0]["message"]["content"]  # type: ignore[index]


async def test_the_v1_path_is_absent_unless_set(start: Start) -> None:
    agent = await start()
    assert (await agent.post("/v1/chat/completions", CHAT))[0] == 404


async def test_a_v1_path_that_is_the_chat_path_is_one_route(start: Start) -> None:
    agent = await start(front_end=FrontEnd(openai_api_v1_path="/chat"))
    assert (await agent.post("/chat", CHAT))[0] == 200
    assert (await agent.events("/chat", {**CHAT, "stream": True}))[-1] == ("data", "[DONE]")
    assert (await agent.post("/chat/stream", CHAT))[0] == 404


def client_of(agent: Agent) -> openai.AsyncOpenAI:
    """Return OpenAI's client for the agent's socket."""
    transport = httpx2.AsyncHTTPTransport(uds=str(agent.socket))
    return openai.AsyncOpenAI(
        api_key="not-needed",
        base_url="http://agent/v1",
        max_retries=0,
        http_client=httpx2.AsyncClient(transport=transport),
    )


async def test_the_openai_client_works_with_the_v1_path(start: Start) -> None:
    agent = await start(front_end=V1)
    async with client_of(agent) as client:
        asked: Any = {"model": "nvidia/llama-3.1-8b-instruct", **CHAT, "temperature": 0.7, "max_tokens": 150}
        whole = await client.chat.completions.create(**asked)
        assert whole.choices[0].message.content == "Hello to you"
        assert whole.usage
        assert whole.usage.total_tokens == USAGE["total_tokens"]
        stream = await client.chat.completions.create(**asked, stream=True)
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
        assert "".join(pieces) == "Hello to you"
    sent = agent.engine.requests[0]
    assert (sent["temperature"], sent["max_tokens"], sent["model"]) == (0.7, 150, "a-model")


async def test_the_openai_client_raises_what_a_stream_says(start: Start) -> None:
    agent = await start("own_workflows.breaks", front_end=V1)
    async with client_of(agent) as client:
        asked: Any = {"model": "any", **CHAT, "stream": True}
        with pytest.raises(openai.APIError, match="no third part"):
            async for _ in await client.chat.completions.create(**asked):
                pass


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("frequency_penalty", [-2, 2], [-2.01, 2.01]),
        ("presence_penalty", [-2, 2], [-2.01, 2.01]),
        ("top_logprobs", [0, 20], [-1, 21]),
        ("max_tokens", [1], [0]),
        ("n", [1, 128], [0, 129]),
        ("temperature", [0, 2], [-0.01, 2.01]),
        ("top_p", [0, 1], [-0.01, 1.01]),
        ("service_tier", ["auto", "default"], ["other"]),
        ("messages", [CHAT["messages"]], [[], None]),
        ("stop", ["a", ["a", "b"]], [{}]),
        ("tool_choice", ["auto", {"type": "function"}], [1]),
        ("stream_options", [{"include_usage": True}], [1]),
        ("unheard_of", [1, "a", {}], []),
    ],
)
async def test_the_bounds_of_the_table(start: Start, field: str, good: list[Any], bad: list[Any]) -> None:
    agent = await start("own_workflows.echo", front_end=V1)
    for value in good:
        assert (await agent.post("/v1/chat/completions", {**CHAT, field: value}))[0] == 200, value
    for value in bad:
        status, answer = await agent.post("/v1/chat/completions", {**CHAT, field: value})
        assert status == 422, value
        assert any(field in problem["loc"] for problem in answer["detail"])


async def test_an_engine_that_is_not_there_is_503(start: Start) -> None:
    agent = await start()
    (agent.socket.parent / "engine.sock").unlink()
    status, answer = await agent.post("/chat", CHAT)
    assert status == 503
    assert "cannot reach the engine" in answer["message"]


async def test_the_page_of_the_documents_needs_no_internet(start: Start) -> None:
    agent = await start()
    async with agent.session.get("http://agent/agent/docs") as answer:
        page = await answer.text()
    assert "/agent/docs/swagger-ui-bundle.js" in page
    assert "https://" not in page
    async with agent.session.get("http://agent/agent/docs/swagger-ui.css") as answer:
        assert answer.status == 200
    _, document = await agent.call("GET", "/agent/openapi.json")
    assert {"/generate", "/generate/stream", "/generate/full", "/chat", "/chat/stream"} == set(
        document["paths"]
    )


async def test_text_before_a_call_is_streamed_too(start: Start) -> None:
    agent = await start(
        "tool_calling",
        Turn(text="Let me see.", calls=[("now", "{}")]),
        Turn(text="It is late."),
        functions={"now": Component(kind="current_datetime")},
        tool_names=["now"],
    )
    events = await agent.events("/chat/stream", CHAT)
    texts = [v["choices"][0]["delta"].get("content", "") for n, v in events[:-1] if n == "data"]
    assert "".join(texts) == "Let me see.It is late."
    _, whole = await agent.post("/chat", CHAT)
    assert whole["choices"][0]["message"]["content"] == "It is late."


async def test_an_answer_that_the_engine_cut_says_so(start: Start) -> None:
    agent = await start("chat", Turn(text="Hello to", reason="length"))
    _, whole = await agent.post("/chat", CHAT)
    assert whole["choices"][0]["finish_reason"] == "length"
    events = await agent.events("/chat/stream", CHAT)
    assert events[-2][1]["choices"] == [{"index": 0, "delta": {}, "finish_reason": "length"}]


@pytest.mark.parametrize(("engines", "status"), [(400, 422), (404, 422), (429, 503), (500, 503), (503, 503)])
async def test_what_may_pass_is_503(start: Start, engines: int, status: int) -> None:
    agent = await start("chat", Turn(status=engines))
    assert (await agent.post("/chat", CHAT))[0] == status
