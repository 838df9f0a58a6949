"""The id of a request: the client's header, else the client's `request_id`, else one made by nginx."""

import json
import re
import time
import urllib.request
from typing import Any

import pytest

from tests.e2e.conftest import Service

pytestmark = pytest.mark.engine

MODEL = "nim/demo"
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}
COMPLETION = {"model": MODEL, "prompt": "Hello", "max_tokens": 2}
# Each route whose body may have an id, with the prefix that vLLM writes before it and the member it is in.
ROUTES: dict[str, tuple[dict[str, Any], str, str]] = {
    "/v1/chat/completions": (CHAT, "chatcmpl", "id"),
    "/v1/completions": (COMPLETION, "cmpl", "id"),
    "/inference/v1/generate": (
        {"model": MODEL, "token_ids": [1, 2, 3], "sampling_params": {"max_tokens": 2}},
        "generate-tokens",
        "request_id",
    ),
    "/generative_scoring": (
        {"model": MODEL, "query": "a", "items": ["b"], "label_token_ids": [5, 6]},
        "generative-scoring",
        "id",
    ),
    "/v1/chat/completions/render": (CHAT, "chatcmpl", "request_id"),
    "/v1/completions/render": (COMPLETION, "cmpl", "request_id"),
}


def ask(service: Service, path: str, body: dict[str, Any], **headers: str) -> tuple[str, str]:
    """Return the id in the answer's header and that in its body."""
    _, _, member = ROUTES[path]
    sent = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(service.root + path, json.dumps(body).encode(), sent)
    with urllib.request.urlopen(request, timeout=60) as answer:
        found = json.load(answer)
        (found,) = found if isinstance(found, list) else (found,)
        return answer.headers["X-Request-Id"], found[member]


@pytest.mark.parametrize("path", ROUTES)
def test_the_clients_id_is_the_engines(service: Service, path: str) -> None:
    body, prefix, _ = ROUTES[path]
    mine = f"mine{path.replace('/', '-')}"
    shown, engines = ask(service, path, {**body, "request_id": mine})
    assert shown == mine
    assert re.fullmatch(rf"{prefix}-{re.escape(mine)}(?:-\d+)?", engines)
    shown, engines = ask(service, path, {"request_id": mine, **body}, **{"X-Request-Id": "sent"})
    assert shown == "sent"
    assert engines.startswith(f"{prefix}-sent")
    shown, engines = ask(service, path, body)
    assert engines.startswith(f"{prefix}-{shown}")
    assert logged(service, path) >= {mine, "sent", shown}


def test_an_id_among_other_members_is_the_engines_too(service: Service) -> None:
    body = {
        "messages": CHAT["messages"],
        "request_id": "amid",
        "stop": ["x"],
        "model": MODEL,
        "max_tokens": 2,
    }
    shown, engines = ask(service, "/v1/chat/completions", body)
    assert engines == "chatcmpl-amid"
    assert shown != "amid", "nginx cannot be certain of it: log and header have one of its own"
    assert shown in logged(service, "/v1/chat/completions")


def test_a_stream_has_the_id_in_every_event(service: Service) -> None:
    body = json.dumps({**CHAT, "stream": True, "request_id": "streamed"}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{service.root}/v1/chat/completions", body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        lines = answer.read().decode().splitlines()
        assert answer.headers["X-Request-Id"] == "streamed"
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
    assert {event["id"] for event in events} == {"chatcmpl-streamed"}


def logged(service: Service, path: str) -> set[str]:
    """Return the ids of the access log's lines about a path, once the last lines are written."""
    time.sleep(0.5)  # nginx writes its buffer after a quarter of a second
    lines = service.log.read_text(encoding="utf-8", errors="replace").splitlines()
    return {line.rpartition("request_id=")[2].split()[0] for line in lines if f"POST {path} " in line}
