"""The OpenAI SDK, unchanged, against the real engine through the real gateway."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.e2e.conftest import Service

pytestmark = pytest.mark.engine
MODEL = "nim/demo"
GREETING = [{"role": "user", "content": "Hello! How are you?"}]
WEATHER: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Get the current weather for a city.",
            "parameters": {
                "type": "object",
                "properties": {"location": {"type": "string"}},
                "required": ["location"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "search_docs",
            "description": "Search internal documentation.",
            "parameters": {
                "type": "object",
                "properties": {"query": {"type": "string"}},
                "required": ["query"],
            },
        },
    },
]
WEATHER_QUESTION = {"role": "user", "content": "What is the weather in Santa Clara, CA?"}


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{service.root}/v1", api_key="not-used", max_retries=0) as made:
        yield made


def chat(client: openai.OpenAI, messages: Any, **more: Any) -> Any:
    more = {"max_tokens": 128, "temperature": 0.0} | more
    return client.chat.completions.create(model=MODEL, messages=messages, **more)


def test_chat_answers_the_greeting(client: openai.OpenAI) -> None:
    answer = chat(client, GREETING)
    assert answer.choices[0].message.content == "Hello! I'm ready to help."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == MODEL
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_streamed_chat_has_the_same_text_in_pieces(client: openai.OpenAI) -> None:
    pieces = [
        chunk.choices[0].delta.content
        for chunk in chat(client, GREETING, stream=True)
        if chunk.choices and chunk.choices[0].delta.content
    ]
    assert "".join(pieces) == "Hello! I'm ready to help."
    assert len(pieces) > 1


def test_usage_comes_with_a_stream_that_asks_for_it(client: openai.OpenAI) -> None:
    chunks = list(chat(client, GREETING, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0


@pytest.mark.parametrize("colour", ["blue", "green"])
def test_a_conversation_is_remembered(client: openai.OpenAI, colour: str) -> None:
    answer = chat(
        client,
        [
            {"role": "system", "content": "You are a concise assistant."},
            {"role": "user", "content": f"My favorite color is {colour}."},
            {"role": "assistant", "content": f"Noted — your favorite color is {colour}."},
            {"role": "user", "content": "What did I just tell you?"},
        ],
    )
    assert colour in answer.choices[0].message.content


def test_the_model_calls_a_tool_and_uses_its_result(client: openai.OpenAI) -> None:
    first = chat(client, [WEATHER_QUESTION], tools=WEATHER, tool_choice="auto", max_tokens=256)
    message = first.choices[0].message
    assert first.choices[0].finish_reason == "tool_calls"
    (call,) = message.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"location": "Santa Clara, CA"}
    result = {
        "role": "tool",
        "tool_call_id": call.id,
        "content": '{"temperature_c": 21, "condition": "sunny"}',
    }
    messages = [WEATHER_QUESTION, message.model_dump(exclude_none=True), result]
    second = chat(client, messages, tools=WEATHER)
    assert second.choices[0].finish_reason == "stop"
    assert "21" in second.choices[0].message.content
    assert "sunny" in second.choices[0].message.content


def test_a_streamed_tool_call_arrives_whole(client: openai.OpenAI) -> None:
    name, arguments = "", ""
    for chunk in chat(client, [WEATHER_QUESTION], tools=WEATHER, tool_choice="auto", stream=True):
        for call in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
            name += call.function.name or ""
            arguments += call.function.arguments or ""
    assert name == "get_weather"
    assert json.loads(arguments) == {"location": "Santa Clara, CA"}


def test_json_mode_gives_json(client: openai.OpenAI) -> None:
    question = {"role": "user", "content": "Return JSON with keys name and purpose for NVIDIA NIM."}
    answer = chat(client, [question], response_format={"type": "json_object"})
    assert {"name", "purpose"} <= json.loads(answer.choices[0].message.content).keys()


def test_a_json_schema_is_kept(client: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "purpose": {"type": "string"}},
        "required": ["name", "purpose"],
        "additionalProperties": False,
    }
    question = {"role": "user", "content": "Return JSON with keys name and purpose for NVIDIA NIM."}
    form = {"type": "json_schema", "json_schema": {"name": "about", "schema": schema, "strict": True}}
    answer = chat(client, [question], response_format=form)
    assert json.loads(answer.choices[0].message.content).keys() == {"name", "purpose"}


GRID = {
    "role": "user",
    "content": "I have a 3x3 grid of integers. Rows sum to 15, 18, 21. Columns sum to 12, 20, 22. "
    "Center is 7, top-left is 2. Find one valid grid.",
}


def test_thinking_is_separated_from_the_answer(client: openai.OpenAI) -> None:
    answer = chat(
        client, [GRID], extra_body={"chat_template_kwargs": {"enable_thinking": True}}, max_tokens=512
    )
    message = answer.choices[0].message
    assert message.reasoning
    assert message.content
    assert "</think>" not in message.content
    assert answer.usage.completion_tokens_details.reasoning_tokens > 10


def test_a_thinking_budget_is_kept(client: openai.OpenAI) -> None:
    body = {"chat_template_kwargs": {"enable_thinking": True}, "thinking_token_budget": 10}
    answer = chat(client, [GRID], extra_body=body, max_tokens=512, seed=42)
    assert answer.choices[0].message.content
    assert 0 < answer.usage.completion_tokens_details.reasoning_tokens <= 11


def test_completions_continue_a_text(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model=MODEL, prompt="The capital of France is", max_tokens=8, temperature=0
    )
    assert answer.choices[0].text.strip().startswith("Paris")


def test_streamed_completions(client: openai.OpenAI) -> None:
    stream = client.completions.create(
        model=MODEL, prompt="Once upon a time", max_tokens=16, temperature=0, stream=True
    )
    assert "".join(chunk.choices[0].text for chunk in stream).strip()


def test_responses_are_kept_and_continued(client: openai.OpenAI) -> None:
    first = client.responses.create(model=MODEL, input="My favorite color is blue.", temperature=0)
    assert client.responses.retrieve(first.id).output_text == first.output_text
    second = client.responses.create(
        model=MODEL, input="What did I just tell you?", previous_response_id=first.id, temperature=0
    )
    assert "blue" in second.output_text


def test_responses_stream_typed_events(client: openai.OpenAI) -> None:
    stream = client.responses.create(
        model=MODEL, input="Hello! How are you?", temperature=0, stream=True, max_output_tokens=64
    )
    events = list(stream)
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == "Hello! I'm ready to help."


def test_a_response_in_the_background_can_be_cancelled(client: openai.OpenAI) -> None:
    for _ in range(10):
        running = client.responses.create(
            model=MODEL,
            input="Count to one hundred.",
            background=True,
            max_output_tokens=3800,
            extra_body={"ignore_eos": True},
        )
        try:
            cancelled = client.responses.cancel(running.id)
        except (
            openai.BadRequestError
        ):  # it had ended before: a tiny model is quick, and this machine may be slow
            continue
        assert cancelled.status == "cancelled"
        assert client.responses.retrieve(running.id).status == "cancelled"
        return
    pytest.fail("none of ten responses could be cancelled")


def test_models_names_the_model_and_its_context(client: openai.OpenAI) -> None:
    (model,) = client.models.list().data
    assert model.id == MODEL
    assert model.object == "model"


def test_an_unknown_model_is_the_engines_own_404(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        client.chat.completions.create(model="nobody", messages=GREETING)  # type: ignore[arg-type]
    assert "nobody" in str(refused.value)


def test_a_request_id_is_taken_and_returned(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL,
        messages=GREETING,  # type: ignore[arg-type]
        max_tokens=16,
        extra_headers={"X-Request-Id": "the-client-s-own"},
    )
    assert raw.headers["x-request-id"] == "the-client-s-own"
