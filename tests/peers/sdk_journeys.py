"""What the Python SDKs of OpenAI and Anthropic are used for; sdk_journeys.cjs has the same in JavaScript."""

import json
from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest

MODEL = "nim/demo"
HELLO: Any = [{"role": "user", "content": "Hello"}]
COUNT: Any = [{"role": "user", "content": "Count to twenty."}]
LONG: Any = {"ignore_eos": True, "min_tokens": 1500}
LONG_TOKENS = 1500
PLACE = {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]}
WEATHER = {"name": "get_weather", "description": "Get the current weather for a city.", "parameters": PLACE}
ASKED: Any = [{"role": "user", "content": "What is the weather in Santa Clara, CA?"}]
COLOUR = {"type": "object", "properties": {"colour": {"enum": ["red", "blue"]}}, "required": ["colour"]}
Journey = Callable[[openai.OpenAI, anthropic.Anthropic], None]
JOURNEYS: dict[str, Journey] = {}


def journey(function: Journey) -> Journey:
    """Add a function to the journeys, under its name."""
    JOURNEYS[function.__name__] = function
    return function


@journey
def models_list(api: openai.OpenAI, _: anthropic.Anthropic) -> None:
    assert MODEL in [model.id for model in api.models.list()]


@journey
def models_retrieve_is_refused(api: openai.OpenAI, _: anthropic.Anthropic) -> None:
    """vLLM has no route for one model."""
    with pytest.raises(openai.NotFoundError):
        api.models.retrieve(MODEL)


@journey
def chat(api: openai.OpenAI, _: anthropic.Anthropic) -> None:
    answer = api.chat.completions.create(model=MODEL, messages=HELLO)
    assert answer.choices[0].message.content
    assert answer.usage


@journey
def chat_stream(api: openai.OpenAI, _: anthropic.Anthropic) -> None:
    options: Any = {"temperature": 0, "max_tokens": 40}
    whole = api.chat.completions.create(model=MODEL, messages=COUNT, **options)
    parts = [*api.chat.completions.create(model=MODEL, messages=COUNT, stream=True, **options)]
    text = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    assert text == whole.choices[0].message.content
    assert len(parts) > 2


@journey
def chat_tool(api: openai.OpenAI, _: anthropic.Anthropic) -> None:
    tool: Any = {"type": "function", "function": WEATHER}
    answer = api.chat.completions.create(model=MODEL, messages=ASKED, tools=[tool], temperature=0)
    calls: Any = answer.choices[0].message.tool_calls
    (call,) = calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"location": "Santa Clara, CA"}


@journey
def chat_structured(api: openai.OpenAI, _: anthropic.Anthropic) -> None:
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "colour", "schema": COLOUR}}
    answer = api.chat.completions.create(model=MODEL, messages=HELLO, response_format=wanted, max_tokens=60)
    assert json.loads(answer.choices[0].message.content or "")["colour"] in ("red", "blue")


@journey
def chat_logprobs(api: openai.OpenAI, _: anthropic.Anthropic) -> None:
    answer = api.chat.completions.create(
        model=MODEL, messages=HELLO, logprobs=True, top_logprobs=3, max_tokens=2
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs
    assert [len(token.top_logprobs) for token in logprobs.content or ()] == [3, 3]


@journey
def completions(api: openai.OpenAI, _: anthropic.Anthropic) -> None:
    answer = api.completions.create(model=MODEL, prompt="Hello", max_tokens=5, n=2, temperature=1)
    assert len(answer.choices) == 2


@journey
def embeddings_are_refused(api: openai.OpenAI, _: anthropic.Anthropic) -> None:
    with pytest.raises(openai.NotFoundError):
        api.embeddings.create(model=MODEL, input="Hello")


@journey
def responses(api: openai.OpenAI, _: anthropic.Anthropic) -> None:
    answer = api.responses.create(model=MODEL, input="Hello")
    assert answer.status == "completed"
    assert answer.output_text


@journey
def responses_stream(api: openai.OpenAI, _: anthropic.Anthropic) -> None:
    events = [*api.responses.create(model=MODEL, input="Hello", stream=True)]
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")


@journey
def error_400(api: openai.OpenAI, _: anthropic.Anthropic) -> None:
    with pytest.raises(openai.BadRequestError):
        api.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=-1)


@journey
def error_401(api: openai.OpenAI, _: anthropic.Anthropic) -> None:
    with pytest.raises(openai.AuthenticationError):
        api.with_options(api_key="wrong").models.list()


@journey
def error_404(api: openai.OpenAI, _: anthropic.Anthropic) -> None:
    with pytest.raises(openai.NotFoundError):
        api.chat.completions.create(model="nobody/nothing", messages=HELLO)


@journey
def error_429(api: openai.OpenAI, _: anthropic.Anthropic) -> None:
    """The service takes two requests of a key at once."""
    begun: Any = {"model": MODEL, "messages": HELLO, "max_tokens": LONG_TOKENS, "stream": True}
    streams = [api.chat.completions.create(**begun, extra_body=LONG) for _ in range(2)]
    try:
        with pytest.raises(openai.RateLimitError) as refused:
            api.chat.completions.create(model=MODEL, messages=HELLO)
        assert refused.value.response.headers["retry-after"]
    finally:
        for stream in streams:
            stream.close()


@journey
def retries_end_a_429(api: openai.OpenAI, _: anthropic.Anthropic) -> None:
    """The SDK waits as Retry-After says, until the streams before are closed at the service as well."""
    patient = api.with_options(max_retries=10)
    assert patient.chat.completions.create(model=MODEL, messages=HELLO).choices


@journey
def aborted(api: openai.OpenAI, _: anthropic.Anthropic) -> None:
    stream = api.chat.completions.create(
        model=MODEL, messages=HELLO, max_tokens=LONG_TOKENS, stream=True, extra_body=LONG
    )
    next(iter(stream))
    stream.close()
    assert [*api.with_options(max_retries=10).models.list()]


@journey
def timed_out(api: openai.OpenAI, _: anthropic.Anthropic) -> None:
    with pytest.raises(openai.APITimeoutError):
        api.with_options(timeout=0.2).chat.completions.create(
            model=MODEL, messages=HELLO, max_tokens=LONG_TOKENS, extra_body=LONG
        )


@journey
def request_id(api: openai.OpenAI, _: anthropic.Anthropic) -> None:
    patient = api.with_options(max_retries=10)
    answer = patient.chat.completions.create(
        model=MODEL, messages=HELLO, extra_headers={"X-Request-Id": "mine-1"}
    )
    assert answer._request_id == "mine-1"


@journey
def messages(_: openai.OpenAI, api: anthropic.Anthropic) -> None:
    answer = api.messages.create(model=MODEL, messages=HELLO, max_tokens=50)
    assert answer.content[0].type == "text"
    assert answer._request_id


@journey
def messages_stream(_: openai.OpenAI, api: anthropic.Anthropic) -> None:
    with api.messages.stream(model=MODEL, messages=COUNT, max_tokens=50) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text
    assert final.usage.output_tokens > 1


@journey
def messages_count_tokens(_: openai.OpenAI, api: anthropic.Anthropic) -> None:
    assert api.messages.count_tokens(model=MODEL, messages=HELLO).input_tokens > 1


@journey
def messages_error_400(_: openai.OpenAI, api: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError):
        api.messages.create(model=MODEL, messages=[], max_tokens=-1)


@journey
def messages_error_401(_: openai.OpenAI, api: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.AuthenticationError):
        api.with_options(api_key="wrong").messages.create(model=MODEL, messages=HELLO, max_tokens=5)


@journey
def messages_error_404(_: openai.OpenAI, api: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError):
        api.messages.create(model="nobody/nothing", messages=HELLO, max_tokens=5)


@journey
def messages_error_429(both: openai.OpenAI, api: anthropic.Anthropic) -> None:
    begun: Any = {"model": MODEL, "messages": HELLO, "max_tokens": LONG_TOKENS, "stream": True}
    streams = [both.chat.completions.create(**begun, extra_body=LONG) for _ in range(2)]
    try:
        with pytest.raises(anthropic.RateLimitError):
            api.messages.create(model=MODEL, messages=HELLO, max_tokens=5)
    finally:
        for stream in streams:
            stream.close()


def run(name: str, root: str, key: str) -> None:
    """Run one journey; AssertionError, or the SDK's own error, if it fails."""
    quick: Any = {"api_key": key, "max_retries": 0, "timeout": 60.0}
    with (
        openai.OpenAI(base_url=f"{root}/v1", **quick) as one,
        anthropic.Anthropic(base_url=root, **quick) as other,
    ):
        JOURNEYS[name](one, other)
