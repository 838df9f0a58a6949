"""Requests go to the backend that has their model, as it stands in the body, and reach it unchanged."""

import hashlib
import json

import pytest

from tests.proxy.conftest import Stack

CHAT = "/v1/chat/completions"
LIMIT = 2 * 1024 * 1024
ROUTES = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/responses",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/tokenize",
    "/detokenize",
    "/v1/score",
    "/score",
    "/rerank",
    "/v1/rerank",
    "/v2/rerank",
    "/classify",
    "/pooling",
    "/v2/embed",
)


def body_of(size: int, model: str = "org/b") -> bytes:
    """Return a chat request of exactly this many bytes."""
    head = b'{"messages":[{"role":"user","content":"'
    tail = f'"}}],"model":"{model}"}}'.encode()
    return head + b"x" * (size - len(head) - len(tail)) + tail


def test_each_model_reaches_its_backend_and_its_answer_is_the_clients(stack: Stack) -> None:
    for model, backend in (("org/a", stack.a), ("org/b", stack.b), ("org/a-lora", stack.a)):
        answer = stack.proxy.chat(model, max_tokens=32)
        assert answer.status == 200
        assert answer.json["from"] == backend.label
        assert backend.received[-1].json["model"] == model


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_reaches_the_backend_with_path_and_query(stack: Stack, route: str) -> None:
    assert stack.proxy.post(f"{route}?a=%2F&b=1+2", {"model": "org/b"}).status == 200
    (received,) = stack.b.received
    assert received.target == f"{route}?a=%2F&b=1+2"
    assert not stack.a.received


def test_headers_reach_the_backend(stack: Stack) -> None:
    headers = {"Authorization": "Bearer mine", "X-Stainless-Lang": "python", "traceparent": "00-ab-cd-01"}
    assert stack.proxy.post(CHAT, {"model": "org/b"}, headers).status == 200
    received = stack.b.received[0].headers
    assert received["authorization"] == "Bearer mine"
    assert received["x-stainless-lang"] == "python"
    assert received["traceparent"] == "00-ab-cd-01"
    assert not [name for name in received if name.startswith("x-nim")]


@pytest.mark.parametrize("model", ["org/none", "Org/A", " org/a", "org/a ", "org/A", "a", "org%2Fa"])
def test_an_unknown_model_is_404_as_from_vllm(stack: Stack, model: str) -> None:
    answer = stack.proxy.chat(model)
    assert answer.status == 404
    error = answer.json["error"]
    assert error["message"] == f"The model `{model}` does not exist."
    assert (error["type"], error["param"], error["code"]) == ("NotFoundError", "model", 404)
    assert error["request_id"] == answer.headers["x-request-id"]
    assert stack.received() == 0


@pytest.mark.parametrize(
    "text", ["{}", *(f'{{"model":{value}}}' for value in ("null", "5", "[]", '""', "{}"))]
)
def test_a_missing_model_is_400(stack: Stack, text: str) -> None:
    answer = stack.proxy.post(CHAT, text.encode())
    assert answer.status == 400
    assert answer.json["error"]["code"] == "missing_required_field"
    assert answer.json["error"]["type"] == "invalid_request_error"
    assert "/v1/models" in answer.json["error"]["message"]
    assert stack.received() == 0


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b'"org/a"',
        b'{"model":"org/a"',
        b'{"model":"org/a"} x',
        b"\xff",
        b"{'model':'org/a'}",
    ],
)
def test_a_body_that_is_no_json_object_is_400(stack: Stack, text: bytes) -> None:
    answer = stack.proxy.post(CHAT, text)
    assert answer.status == 400
    assert answer.json["error"]["type"] == "BadRequestError"
    assert stack.received() == 0


def test_nesting_without_end_is_400(stack: Stack) -> None:
    assert stack.proxy.post(CHAT, b'{"x":' + b"[" * 1_000_000).status == 400
    assert stack.proxy.chat("org/a").status == 200


def test_errors_have_the_dialect_of_the_api(stack: Stack) -> None:
    answer = stack.proxy.post("/v1/messages", {"model": "org/none", "messages": []})
    assert answer.status == 404
    assert answer.json["type"] == "error"
    assert answer.json["error"]["type"] == "not_found_error"
    assert answer.json["request_id"] == answer.headers["request-id"]


@pytest.mark.parametrize(
    "text",
    [
        b'{"metadata":{"model":"org/a"},"model":"org/b"}',
        b'{"messages":[{"content":"say \\"model\\": \\"org/a\\""}],"model":"org/b"}',
        b'{"model":"org/a","model":"org/b"}',
        b'{"mod\\u0065l":"org\\/b"}',
        b'\n {"messages":[{"model":"org/a"}] ,\t"model" :  "org/b" }\n',
        b'{"messages":"' + b"y" * 200_000 + b'","model":"org/b"}',
        '{"messages":"😀\\u0000","model":"org/b"}'.encode(),
        b'{"seed":9007199254740993,"x":1e400,"model":"org/b"}',
    ],
)
def test_only_the_bodys_own_last_model_counts(stack: Stack, text: bytes) -> None:
    assert stack.proxy.post(CHAT, text).json["from"] == stack.b.label
    assert stack.b.received[0].body == text
    assert not stack.a.received


def test_invalid_utf8_in_a_text_is_no_error_of_the_server(stack: Stack) -> None:
    assert stack.proxy.post(CHAT, b'{"messages":"\xff","model":"org/b"}').status in (200, 400)


@pytest.mark.parametrize(
    "size", [1024, 16_383, 16_384, 16_385, 112_000, 1_048_575, 1_048_577, 1_300_000, LIMIT]
)
def test_bodies_of_any_size_arrive_as_they_were_sent(stack: Stack, size: int) -> None:
    body = body_of(size)
    answer = stack.proxy.post(CHAT, body)
    assert answer.status == 200
    assert answer.json["sha256"] == hashlib.sha256(body).hexdigest()
    assert answer.json["length"] == size


def test_a_body_above_the_limit_is_413_and_the_connection_stays_usable(stack: Stack) -> None:
    link = stack.proxy.connect()
    link.request("POST", CHAT, body_of(LIMIT + 1), {"Content-Type": "application/json"})
    answer = link.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read())["error"]["code"] == "request_too_large"
    link.request("POST", CHAT, body_of(1024), {"Content-Type": "application/json"})
    assert link.getresponse().status == 200
    link.close()


@pytest.mark.parametrize("size", [100, 300_000])
def test_chunked_uploads_arrive(stack: Stack, size: int) -> None:
    body = body_of(size)
    link = stack.proxy.connect()
    chunks = iter([body[at : at + 7000] for at in range(0, len(body), 7000)])
    link.request("POST", CHAT, chunks, {"Content-Type": "application/json"}, encode_chunked=True)
    assert json.loads(link.getresponse().read())["sha256"] == hashlib.sha256(body).hexdigest()
    link.close()


def test_a_client_that_expects_100_continue_is_answered(stack: Stack) -> None:
    body = body_of(2000)
    answer = stack.proxy.post(CHAT, body, {"Expect": "100-continue"})
    assert answer.status == 200
    assert "expect" not in stack.b.received[0].headers


def test_the_model_of_a_form_is_read(stack: Stack) -> None:
    audio = bytes(range(256)) * 400 + b'\r\nContent-Disposition: form-data; name="model"\r\n\r\norg/a\r\n'
    body = (
        b'--XyZ\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n'
        b"Content-Type: audio/wav\r\n\r\n" + audio + b"\r\n"
        b'--XyZ\r\nContent-Disposition: form-data; name="model"\r\n\r\norg/b\r\n--XyZ--\r\n'
    )
    for boundary in ("XyZ", '"XyZ"'):
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        answer = stack.proxy.post("/v1/audio/transcriptions", body, headers)
        assert answer.json["from"] == stack.b.label
        assert answer.json["sha256"] == hashlib.sha256(body).hexdigest()
    assert not stack.a.received


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"--a\r\n"),
        ("multipart/form-data; boundary=a", b"nothing"),
        (
            "multipart/form-data; boundary=a",
            b'--a\r\nContent-Disposition: form-data; name="model"\r\n\r\norg/a',
        ),
        ("multipart/form-data; boundary=a", b"--a--\r\n"),
    ],
)
def test_a_form_without_a_model_is_400(stack: Stack, content_type: str, body: bytes) -> None:
    answer = stack.proxy.post("/v1/audio/transcriptions", body, {"Content-Type": content_type})
    assert answer.status == 400
    assert stack.received() == 0


def test_the_model_in_a_header_or_in_the_path_needs_no_body(stack: Stack) -> None:
    answer = stack.proxy.post(CHAT, b"not even JSON", {"X-NIM-Model": "org/b"})
    assert answer.json["from"] == stack.b.label
    answer = stack.proxy.post("/models/org/b/v1/chat/completions?x=1", {"model": "org/b"})
    assert answer.json["from"] == stack.b.label
    assert stack.b.received[-1].target == "/v1/chat/completions?x=1"
    assert stack.proxy.post("/models/org/none/v1/chat/completions", {}).status == 404
    assert stack.proxy.post("/models/org/b/v1/load_lora_adapter", {}).status == 404


def test_the_header_decides_and_the_backend_judges_the_body(stack: Stack) -> None:
    assert stack.proxy.post(CHAT, {"model": "org/b"}, {"X-NIM-Model": "org/a"}).json["from"] == stack.a.label


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_other_methods_are_405(stack: Stack, method: str) -> None:
    answer = stack.proxy.ask(method, CHAT, b"{}" if method == "PUT" else None, {})
    assert answer.status == 405
    assert answer.headers["allow"] == "POST, OPTIONS"
    assert stack.received() == 0


@pytest.mark.parametrize(
    "path",
    [
        "/failed",
        "/rewritten/v1/chat/completions",
        "/status",
        "/v1/load_lora_adapter",
        "/reset_prefix_cache",
        "/metrics",
    ],
)
def test_everything_else_is_404(stack: Stack, path: str) -> None:
    assert stack.proxy.post(path, {"model": "org/a"}).status == 404
    assert stack.proxy.get(path).status == 404
    assert stack.received() == 0


def test_an_alias_changes_nothing_but_the_model(stack: Stack) -> None:
    text = b'{"seed": 9007199254740993 , "model":"small","x":"\\u00e4 \xc3\xa4", "y":[1.50]}'
    answer = stack.proxy.post(CHAT + "?q=1", text)
    assert answer.status == 200, answer.body
    assert answer.json["from"] == stack.a.label
    (received,) = stack.a.received
    assert received.body == b'{"seed":9007199254740993,"model":"org/a","x":"\\u00e4 \xc3\xa4","y":[1.50]}'
    assert received.headers["content-length"] == str(len(received.body))
    assert received.target == CHAT + "?q=1"


def test_an_alias_streams(stack: Stack) -> None:
    answer = stack.proxy.chat("small", stream=True)
    assert answer.body.count(b"data: ") == 51
    assert answer.body.endswith(b"data: [DONE]\n\n")
