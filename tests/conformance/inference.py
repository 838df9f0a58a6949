"""Checks of inference requests in OpenAI's and Anthropic's dialects: streams, errors, large bodies."""

import json
from typing import Any

from tests.conformance.check import Check, Failed, Skipped, check, expect
from tests.conformance.target import Answer, Target

INFERENCE: list[Check] = []
OPENAI = "OpenAI API"
ANTHROPIC = "Anthropic API"
QUESTION = [{"role": "user", "content": "Hello! How are you?"}]
LARGE_BYTES = 3_000_000


def _chat(target: Target, **more: object) -> dict[str, Any]:
    return {"model": target.served, "messages": QUESTION, "max_tokens": 8, **more}


def _ok(answer: Answer) -> Any:
    expect(answer.status == 200, f"answers {answer.status}: {answer.text[:200]}")
    return answer.json()


def events(answer: Answer) -> list[tuple[str, str]]:
    """Return event and data of each event of a stream. What is no stream fails."""
    expect(answer.status == 200, f"answers {answer.status}: {answer.text[:200]}")
    kind = answer.headers.get("content-type", "")
    expect(kind.startswith("text/event-stream"), f"Content-Type is {kind!r}")
    text = answer.text.replace("\r\n", "\n")
    expect(text.endswith("\n\n"), "the last event is not ended by an empty line")
    found = [_event(block) for block in text.split("\n\n") if block.strip()]
    return [one for one in found if one != ("", "")]  # comments, which keep connections alive


def _event(block: str) -> tuple[str, str]:
    fields: dict[str, list[str]] = {}
    for line in block.split("\n"):
        if line.startswith(":"):
            continue
        name, colon, value = line.partition(":")
        expect(colon and name in ("event", "data", "id", "retry"), f"no field of an event: {line[:60]!r}")
        fields.setdefault(name, []).append(value.removeprefix(" "))
    return "".join(fields.get("event", [])), "\n".join(fields.get("data", []))


@check(INFERENCE, "chat completions answer", OPENAI, "C25")
def chat(target: Target) -> None:
    page = _ok(target.post("/v1/chat/completions", _chat(target)))
    expect(page.get("object") == "chat.completion", f"object is {page.get('object')!r}")
    expect(page["choices"][0]["message"]["role"] == "assistant", "the answer is not the assistant's")
    expect(page["usage"]["completion_tokens"] > 0, "no token is counted")


@check(INFERENCE, "chat streams are well formed", f"{OPENAI}, server-sent events", "C25")
def chat_stream(target: Target) -> str:
    found = events(target.post("/v1/chat/completions", _chat(target, stream=True)))
    expect(found and found[-1][1] == "[DONE]", "the stream does not end in [DONE]")
    chunks = [json.loads(data) for _, data in found[:-1]]
    expect(chunks, "there is no chunk")
    wrong = [one.get("object") for one in chunks if one.get("object") != "chat.completion.chunk"]
    expect(not wrong, f"object is {wrong[:1]}")
    ends = [choice["finish_reason"] for one in chunks for choice in one["choices"]]
    expect(any(ends), "no chunk has a finish_reason")
    return f"{len(chunks)} chunks"


@check(INFERENCE, "completions answer", OPENAI, "C25")
def completion(target: Target) -> None:
    page = _ok(target.post("/v1/completions", {"model": target.served, "prompt": "Once", "max_tokens": 8}))
    expect(isinstance(page["choices"][0]["text"], str), "there is no text")


@check(INFERENCE, "messages answer", ANTHROPIC, "C25")
def messages(target: Target) -> None:
    page = _ok(target.post("/v1/messages", _chat(target)))
    expect(page.get("type") == "message", f"type is {page.get('type')!r}")
    expect(page.get("stop_reason"), "there is no stop_reason")


@check(INFERENCE, "message streams begin and end", f"{ANTHROPIC}, server-sent events", "C25")
def messages_stream(target: Target) -> None:
    found = events(target.post("/v1/messages", _chat(target, stream=True)))
    names = [name for name, _ in found]
    expect(names and names[0] == "message_start", f"begins with {names[:1]}")
    expect(names[-1] == "message_stop", f"ends with {names[-1:]}")
    wrong = [name for name, data in found if json.loads(data).get("type") != name]
    expect(not wrong, f"the data of {wrong[:1]} is of another type")


@check(INFERENCE, "tokens of a message are counted", ANTHROPIC, "C25")
def count_tokens(target: Target) -> None:
    body = {"model": target.served, "messages": QUESTION}
    page = _ok(target.post("/v1/messages/count_tokens", body))
    expect(page.get("input_tokens", 0) > 0, f"input_tokens is {page.get('input_tokens')!r}")


def _error(answer: Answer, status: int) -> None:
    expect(answer.status == status, f"answers {answer.status}, not {status}")
    page = answer.json()
    error = page.get("error") if isinstance(page, dict) else None
    if not isinstance(error, dict):
        raise Failed(f"there is no error object: {answer.text[:80]!r}")
    expect(error.get("message"), "error.message is empty")


@check(INFERENCE, "an unknown path is 404 with an error object", OPENAI, "C25")
def unknown_path(target: Target) -> None:
    _error(target.get("/v1/there-is-no-such-path"), 404)


@check(INFERENCE, "an unknown model is 404 with an error object", OPENAI, "C25")
def unknown_model(target: Target) -> None:
    body = _chat(target) | {"model": "there-is-no-such-model"}
    _error(target.post("/v1/chat/completions", body), 404)


@check(INFERENCE, "broken JSON is 400 with an error object", OPENAI, "C25")
def broken_json(target: Target) -> None:
    _error(target.post("/v1/chat/completions", b'{"model": '), 400)


@check(INFERENCE, "a request id comes back", "NIM documentation, X-Request-Id", "C25")
def request_id(target: Target) -> None:
    mine = "conformance-0123456789abcdef"
    found = target.get("/v1/models", X_Request_Id=mine).headers.get("x-request-id")
    expect(found == mine, f"X-Request-Id is {found!r}")


@check(INFERENCE, "a body of 3 MB is taken", "users of images and long prompts, who met 413", "C25")
def large_body(target: Target) -> str:
    """Return whether the engine can make sense of it is its own affair."""
    status = target.post("/v1/chat/completions", _chat(target, user="x" * LARGE_BYTES)).status
    expect(status in (200, 400), f"answers {status}")
    return f"answers {status}"


@check(INFERENCE, "a dummy key is no hindrance", "clients that want some key, such as not-used", "C25")
def dummy_key(target: Target) -> None:
    if target.key:
        raise Skipped("it was given a key of its own")
    key = {"Authorization": "Bearer not-used", "x_api_key": "not-used"}
    for path in ("/v1/chat/completions", "/v1/messages"):
        expect(target.post(path, _chat(target), **key).status == 200, f"{path} refuses it")
