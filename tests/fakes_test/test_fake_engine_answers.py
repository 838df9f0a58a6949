"""The fake engine's answers without faults have vLLM's form, in each dialect."""

import hashlib
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes.launch import Launched, launch

ENV = {"VLLM_ENABLE_RESPONSES_API_STORE": "1", "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "true"}
HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    flags = ("--enable-scale-out", "--enable-lora", "--served-model-name", "demo")
    with launch(tmp_path_factory.mktemp("engine"), *flags, port=port, env=ENV, interval_ms=1) as launched:
        yield launched.wait_ready()


def events(engine: Launched, path: str, **body: object) -> list[tuple[str | None, str]]:
    """Return names and data of all events of a stream."""
    with engine.send("POST", path, {**body, "stream": True}) as response:
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        blocks = response.read().decode().split("\n\n")
    assert blocks.pop() == ""
    matches = [re.fullmatch(r"(?:event: (\S+)\n)?data: (.+)", block) for block in blocks]
    return [(match[1], match[2]) for match in matches if match]


def test_openais_client_understands_it(engine: Launched) -> None:
    with openai.OpenAI(base_url=f"http://127.0.0.1:{engine.address}/v1", api_key="none") as client:
        whole = client.chat.completions.create(model="demo", messages=[{"role": "user", "content": "x"}])
        chunks = [*client.chat.completions.create(model="demo", messages=[], max_tokens=3, stream=True)]
        text = client.completions.create(model="demo", prompt="hi", max_tokens=2)
        response = client.responses.create(model="demo", input="hi", max_output_tokens=3)
        streamed = [*client.responses.create(model="demo", input="hi", stream=True)]
        again = client.responses.retrieve(response.id)
        assert client.models.list().data[0].id == "demo"
    assert whole.choices[0].message.content == "".join(f"tok{n} " for n in range(8))
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage
    assert whole.usage.completion_tokens == 8
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["", "tok0 ", "tok1 ", "tok2 ", None]
    assert chunks[-1].choices[0].finish_reason == "length"
    assert text.choices[0].text == "tok0 tok1 "
    assert again.output_text == response.output_text == "tok0 tok1 tok2 "
    assert again.status == "incomplete"
    assert [event.sequence_number for event in streamed] == [*range(len(streamed))]
    assert streamed[-1].type == "response.completed"


def test_anthropics_client_understands_it(engine: Launched) -> None:
    with anthropic.Anthropic(base_url=f"http://127.0.0.1:{engine.address}", api_key="none") as client:
        asked: Any = {"model": "demo", "max_tokens": 2, "messages": HELLO}
        whole = client.messages.create(**asked)
        with client.messages.stream(**asked) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
        counted = client.messages.count_tokens(model="demo", messages=[{"role": "user", "content": "x"}])
    assert text == "tok0 tok1 "
    assert [block.type == "text" and block.text for block in whole.content] == [text]
    assert (whole.stop_reason, final.stop_reason) == ("max_tokens", "max_tokens")
    assert final.usage.output_tokens == 2
    assert counted.input_tokens > 0


def test_openais_streams_end_with_done_and_usage_if_asked(engine: Launched) -> None:
    said = events(engine, "/v1/chat/completions", messages=[], stream_options={"include_usage": True})
    assert said[-1] == (None, "[DONE]")
    assert json.loads(said[-2][1])["usage"]["completion_tokens"] == 8
    for path in ("/v1/completions", "/inference/v1/generate"):
        said = events(engine, path, prompt="x", max_tokens=2)
        assert len(said) == 4
        assert said[-1] == (None, "[DONE]")


def test_messages_are_named_events_without_done(engine: Launched) -> None:
    said = events(engine, "/v1/messages", messages=HELLO, max_tokens=1)
    assert [name for name, _ in said] == [
        "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
        "message_stop",
    ]  # fmt: skip
    assert all(json.loads(data)["type"] == name for name, data in said)


def test_background_responses_can_be_watched_and_cancelled(engine: Launched) -> None:
    engine.order(tokens=1000)
    begun = engine.post("/v1/responses", input="x", background=True)
    assert begun["status"] == "queued"
    assert engine.post(f"/v1/responses/{begun['id']}/cancel")["status"] == "cancelled"
    assert engine.get(f"/v1/responses/{begun['id']}")["status"] == "cancelled"
    assert engine.post(f"/v1/responses/{begun['id']}/cancel")["error"]["code"] == 400
    engine.order(tokens=8)


def test_errors_are_in_vllms_words(engine: Launched) -> None:
    wrong = {"model": "x", "messages": []}
    assert engine.post("/v1/chat/completions", **wrong)["error"]["type"] == "NotFoundError"
    assert engine.post("/v1/messages", **wrong)["type"] == "error"
    with engine.send("POST", "/v1/completions", b"{") as response:
        assert (response.status, json.loads(response.read())["error"]["code"]) == (400, 400)
    with engine.send("GET", "/nothing") as response:
        assert (response.status, response.read()) == (404, b'{"detail":"Not Found"}')
    with engine.send("GET", "/tokenize") as response:
        assert (response.status, response.headers["Allow"]) == (405, "POST")
    assert engine.get("/v1/responses/resp_0")["error"]["param"] is None


def test_facts(engine: Launched) -> None:
    tokens = engine.post("/tokenize", prompt="hé")
    assert tokens["count"] == 3
    assert engine.post("/detokenize", tokens=tokens["tokens"]) == {"prompt": "hé"}
    assert engine.post("/v1/completions/render", prompt="hé")[0]["token_ids"] == tokens["tokens"]
    assert len(engine.post("/generative_scoring", query="q", items=["a", "b"])["data"]) == 2
    assert engine.get("/load") == {"server_load": 0}
    assert "/v1/responses/{response_id}/cancel" in engine.get("/openapi.json")["paths"]
    with engine.send("GET", "/docs") as response:
        assert response.headers["Content-Type"].startswith("text/html")
    for method, path in (("GET", "/health"), ("GET", "/ping"), ("POST", "/ping")):
        with engine.send(method, path) as response:
            assert (response.status, response.read(), response.headers["Server"]) == (200, b"", "uvicorn")


def test_adapters_come_and_go(engine: Launched) -> None:
    with engine.send("POST", "/v1/load_lora_adapter", {"lora_name": "l", "lora_path": "/l"}) as response:
        assert response.read() == b"Success: LoRA adapter 'l' added successfully."
    assert [model["parent"] for model in engine.get("/v1/models")["data"]] == [None, "demo"]
    assert engine.post("/v1/completions", model="l", prompt="x")["model"] == "l"
    with engine.send("POST", "/v1/unload_lora_adapter", {"lora_name": "l"}) as response:
        assert response.status == 200
    assert engine.post("/v1/unload_lora_adapter", lora_name="l")["error"]["code"] == 404


def test_metrics_count(engine: Launched) -> None:
    def scrape() -> dict[str, float]:
        with engine.send("GET", "/metrics") as response:
            families = text_string_to_metric_families(response.read().decode())
            return {sample.name: sample.value for family in families for sample in family.samples}

    before = scrape()
    engine.post("/v1/completions", prompt="xyz", max_tokens=5)
    after = scrape()
    assert after["vllm:generation_tokens_total"] - before["vllm:generation_tokens_total"] == 5
    assert after["vllm:prompt_tokens_total"] - before["vllm:prompt_tokens_total"] == 3
    assert after["vllm:num_requests_running"] == 0
    assert "process_start_time_seconds" in after


def test_requests_are_recorded_as_they_came(engine: Launched) -> None:
    body = b"x" * (1 << 20)
    with engine.send("POST", "/no%2Fwhere?q=%C3%A9", body) as response:
        response.read()
    record = engine.get("/fake/received?last=1")[0]
    assert record["target"] == "/no%2Fwhere?q=%C3%A9"
    assert ["Content-Type", "application/json"] in record["headers"]
    assert record["body_bytes"] == len(body)
    assert record["body_sha256"] == hashlib.sha256(body).hexdigest()
    assert record["status"] == 404
    with engine.send("PUT", "/fake/echo?a", {"b": 1}) as response:
        echo = json.loads(response.read())
    assert (echo["method"], echo["target"], echo["body"]) == ("PUT", "/fake/echo?a", '{"b": 1}')


def test_scale_out_and_adapters_are_off_unless_enabled(tmp_path: Path) -> None:
    with launch(tmp_path) as engine:
        engine.wait_ready()
        for path in ("/v1/completions/render", "/inference/v1/generate"):
            with engine.send("POST", path, {"prompt": "x"}) as response:
                assert response.status == 403
        with engine.send("POST", "/v1/load_lora_adapter", {}) as response:
            assert response.status == 404


def test_an_api_key_guards_what_vllm_guards(tmp_path: Path) -> None:
    with launch(tmp_path, env={"VLLM_API_KEY": "secret"}) as engine:
        engine.wait_ready()
        assert engine.get("/v1/models") == {"error": "Unauthorized"}
        assert engine.get("/version") == {"version": "0.32.0"}
