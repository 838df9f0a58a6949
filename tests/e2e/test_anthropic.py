"""The Anthropic SDK, unchanged, against the real engine through the real gateway."""

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import pytest

from tests.e2e.conftest import Service

pytestmark = pytest.mark.engine
MODEL = "nim/demo"
GREETING: list[Any] = [{"role": "user", "content": "Hello! How are you?"}]
TOOLS: list[Any] = [
    {
        "name": "get_weather",
        "description": "Get the current weather for a city.",
        "input_schema": {
            "type": "object",
            "properties": {"location": {"type": "string"}},
            "required": ["location"],
        },
    }
]


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=service.root, api_key="not-used", max_retries=0) as made:
        yield made


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def test_messages_answer_the_greeting(client: anthropic.Anthropic) -> None:
    message = client.messages.create(model=MODEL, max_tokens=128, messages=GREETING)
    assert text_of(message) == "Hello! I'm ready to help."
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens > 0


def test_streamed_messages_say_the_same_in_pieces(client: anthropic.Anthropic) -> None:
    with client.messages.stream(model=MODEL, max_tokens=128, messages=GREETING) as stream:
        pieces = list(stream.text_stream)
    assert "".join(pieces) == "Hello! I'm ready to help."
    assert len(pieces) > 1


def test_events_have_the_names_and_order_of_the_dialect(service: Service) -> None:
    body = {"model": MODEL, "max_tokens": 32, "messages": GREETING, "stream": True}
    with httpx.stream("POST", f"{service.root}/v1/messages", json=body, timeout=60) as answer:
        names = [line.removeprefix("event: ") for line in answer.iter_lines() if line.startswith("event: ")]
    assert names[0] == "message_start"
    assert names[1] == "content_block_start"
    assert "content_block_delta" in names
    assert names[-1] == "message_stop"


def test_a_system_prompt_is_taken(client: anthropic.Anthropic) -> None:
    message = client.messages.create(
        model=MODEL,
        max_tokens=256,
        system="You are a helpful coding assistant.",
        messages=[{"role": "user", "content": "Write a Python hello world."}],
    )
    assert "print" in text_of(message)


def test_a_tool_is_called_and_its_result_used(client: anthropic.Anthropic) -> None:
    question: Any = {"role": "user", "content": "What is the weather in Santa Clara, CA?"}
    first = client.messages.create(model=MODEL, max_tokens=256, messages=[question], tools=TOOLS)
    assert first.stop_reason == "tool_use"
    (call,) = [block for block in first.content if block.type == "tool_use"]
    assert call.name == "get_weather"
    assert call.input == {"location": "Santa Clara, CA"}
    result = {
        "type": "tool_result",
        "tool_use_id": call.id,
        "content": '{"temperature_c": 21, "condition": "sunny"}',
    }
    asked: Any = {"type": "tool_use", "id": call.id, "name": call.name, "input": call.input}
    messages: Any = [
        question,
        {"role": "assistant", "content": [asked]},
        {"role": "user", "content": [result]},
    ]
    second = client.messages.create(model=MODEL, max_tokens=128, messages=messages, tools=TOOLS)
    assert "21" in text_of(second)


def test_thinking_is_a_block_of_its_own(client: anthropic.Anthropic) -> None:
    message = client.messages.create(
        model=MODEL,
        max_tokens=512,
        messages=[{"role": "user", "content": "Hello! How are you?"}],
        extra_body={"chat_template_kwargs": {"enable_thinking": True}},
    )
    kinds = [block.type for block in message.content]
    assert kinds == ["thinking", "text"]


def test_tokens_are_counted_without_inference(client: anthropic.Anthropic) -> None:
    assert client.messages.count_tokens(model=MODEL, messages=GREETING).input_tokens > 3


@pytest.mark.parametrize("version", ["2023-06-01", "1999-01-01", None])
def test_the_version_header_is_accepted_and_not_enforced(service: Service, version: str | None) -> None:
    headers = {"anthropic-version": version} if version else {}
    body = {"model": MODEL, "max_tokens": 8, "messages": GREETING}
    answer = httpx.post(f"{service.root}/v1/messages", json=body, headers=headers, timeout=60)
    assert answer.status_code == 200


def test_batches_are_absent_and_said_so_in_the_dialect(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as refused:
        client.messages.batches.list()
    body: Any = refused.value.body
    assert body["type"] == "error"
    assert body["error"]["type"] == "not_found_error"
