"""Read an answer of any dialect: text, finish reason, ids."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.soak.questions import CHAT, COMPLETIONS, GENERATE, MESSAGES, RESPONSES

FINISHES = {"end_turn": "stop", "max_tokens": "length", "completed": "stop", "incomplete": "length"}
Json = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Reading:
    """`ended`: the dialect's last event has come; `after_end`: and something after it. `ids`: one."""

    text: str = ""
    finish: str | None = None
    ended: bool = False
    after_end: bool = False
    error: str | None = None
    ids: set[str] = field(default_factory=set)
    prompt_tokens: int | None = None
    final_text: str | None = None


def read_whole(path: str, body: bytes) -> Reading:
    """Return an answer in one piece. ValueError or KeyError: it is none."""
    data = json.loads(body)
    reading = Reading(ended=True)
    _WHOLE[path](reading, data)
    return reading


def read_stream(path: str, body: bytes) -> Reading:
    """Return the events of a stream so far; one that has not come to its end is left out."""
    reading = Reading()
    for event in _events(body):
        reading.after_end |= reading.ended
        if event == "[DONE]":
            reading.ended = True
            continue
        data = json.loads(event)
        if "error" in data or data.get("type") in ("error", "response.failed"):
            reading.error = json.dumps(data)[:200]
        else:
            _EVENT[path](reading, data)
    return reading


def _events(body: bytes) -> Iterator[str]:
    *whole, _ = body.replace(b"\r\n", b"\n").split(b"\n\n")
    for event in whole:
        lines = [line for line in event.decode().split("\n") if line.startswith("data:")]
        yield "\n".join(line.removeprefix("data:").strip() for line in lines)


def _finish(reading: Reading, name: str | None) -> None:
    """Record the finish reason; none at the end means that the answer was broken off."""
    reading.finish = FINISHES.get(name, name) if name else "abort"


def _choice(reading: Reading, data: Json) -> None:
    reading.ids.add(data.get("id") or data["request_id"])
    if usage := data.get("usage"):
        reading.prompt_tokens = usage["prompt_tokens"]
    for choice in data["choices"]:
        if "id" not in data:
            reading.text = " ".join([*reading.text.split(), *map(str, choice["token_ids"])])
        else:
            said = choice.get("delta") or choice.get("message") or choice
            reading.text += said.get("content") or said.get("text") or ""
        if choice.get("finish_reason"):
            _finish(reading, choice["finish_reason"])


def _message(reading: Reading, data: Json) -> None:
    reading.ids.add(data["id"])
    reading.text = "".join(part["text"] for part in data["content"])
    reading.prompt_tokens = data["usage"]["input_tokens"]
    _finish(reading, data["stop_reason"])


def _message_event(reading: Reading, data: Json) -> None:
    match data["type"]:
        case "message_start":
            reading.ids.add(data["message"]["id"])
        case "content_block_delta":
            reading.text += data["delta"]["text"]
        case "message_delta":
            reading.prompt_tokens = data["usage"]["input_tokens"]
            _finish(reading, data["delta"].get("stop_reason"))
        case "message_stop":
            reading.ended = True


def _response(reading: Reading, data: Json) -> None:
    reading.ids.add(data["id"])
    reading.text = _output(data)
    reading.prompt_tokens = data["usage"]["input_tokens"]
    _finish(reading, data["status"])


def _response_event(reading: Reading, data: Json) -> None:
    match data["type"]:
        case "response.created":
            reading.ids.add(data["response"]["id"])
        case "response.output_text.delta":
            reading.text += data["delta"]
        case "response.completed" | "response.incomplete":
            reading.ids.add(data["response"]["id"])
            reading.ended = True
            reading.final_text = _output(data["response"])
            reading.prompt_tokens = data["response"]["usage"]["input_tokens"]
            _finish(reading, data["response"]["status"])


def _output(response: Json) -> str:
    messages = [item for item in response["output"] if item["type"] == "message"]
    return "".join(part["text"] for item in messages for part in item["content"])


_WHOLE = {
    CHAT: _choice,
    COMPLETIONS: _choice,
    GENERATE: _choice,
    MESSAGES: _message,
    RESPONSES: _response,
}
_EVENT = _WHOLE | {MESSAGES: _message_event, RESPONSES: _response_event}
