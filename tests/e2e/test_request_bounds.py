"""What one request may ask of the real engine: more is refused or cut down, on every route that generates."""

import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from nim.options.derived_options import REQUEST_BOUNDS
from tests.e2e.conftest import READY_SECONDS, Service, serving

pytestmark = pytest.mark.engine
MODEL = "nim/demo"
CEILING = 7
LONG = "Write a very long story about the sea."
REASON = "max_output_tokens"
TALE = {"input": "Count from 1 to 20.", "temperature": 0}
TOLD = {"messages": [{"role": "user", "content": TALE["input"]}], "temperature": 0}
MESSAGES = [{"role": "user", "content": LONG}]


def post(service: Service, path: str, **body: Any) -> tuple[int, Any]:
    """Return status and JSON of a POST."""
    request = urllib.request.Request(
        service.root + path,
        json.dumps({"model": MODEL, **body}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.mark.parametrize(
    ("path", "prompt"),
    [("/v1/completions", {"prompt": "Hello"}), ("/v1/chat/completions", {"messages": MESSAGES})],
)
def test_more_answers_than_the_bound_are_refused(service: Service, path: str, prompt: Any) -> None:
    most = int(REQUEST_BOUNDS["VLLM_MAX_N_SEQUENCES"])
    status, body = post(service, path, n=most + 1, max_tokens=1, **prompt)
    assert status == 400
    assert f"n must be at most {most}" in body["error"]["message"]
    status, body = post(service, path, n=most, max_tokens=1, temperature=1, **prompt)
    assert status == 200, body
    assert len(body["choices"]) == most


def test_more_prompts_than_the_bound_are_refused(service: Service) -> None:
    most = int(REQUEST_BOUNDS["VLLM_MAX_COMPLETION_PROMPTS"])
    status, body = post(service, "/v1/completions", prompt=["a"] * (most + 1), max_tokens=1)
    assert status == 400
    assert "VLLM_MAX_COMPLETION_PROMPTS" in body["error"]["message"]
    status, body = post(service, "/v1/completions", prompt=["a"] * most, max_tokens=1)
    assert (status, len(body["choices"])) == (200, most)


@pytest.mark.parametrize(
    "more", [{"logprobs": 21}, {"stop": ["a", "b", "c", "d", "e"]}], ids=["logprobs", "stop strings"]
)
def test_vllms_own_bounds_are_those_of_the_documentation(service: Service, more: Any) -> None:
    status, _ = post(service, "/v1/completions", prompt="a", max_tokens=1, **more)
    assert status == 400


def large_grammar(words: int) -> str:
    """Return a grammar that vLLM's API server reads for seconds and then refuses."""
    letters = random.Random(1)
    choices = ("".join(letters.choices("abcdefghij", k=10)) for _ in range(words))
    return "root ::= " + " | ".join(f'"{choice}"' for choice in choices) + " | undefined_rule"


MANY = [f"word{number:06}" for number in range(50_000)]
SCHEMA = {"type": "object", "properties": {"word": {"enum": MANY}}, "required": ["word"]}
CHAT = "/v1/chat/completions"
NAMED = {"name": "word", "schema": SCHEMA}
FORMAT = {"type": "json_schema", "json_schema": NAMED}
TOKENS = {"/v1/responses": {"max_output_tokens": 5}}
TOO_LARGE: list[tuple[str, dict[str, Any]]] = [
    (CHAT, {"messages": MESSAGES, "structured_outputs": {"choice": MANY}}),
    (CHAT, {"messages": MESSAGES, "structured_outputs": {"regex": "|".join(MANY)}}),
    (CHAT, {"messages": MESSAGES, "structured_outputs": {"grammar": 'root ::= "' + "a" * 200_000 + '"'}}),
    (CHAT, {"messages": MESSAGES, "response_format": FORMAT}),
    ("/v1/completions", {"prompt": LONG, "structured_outputs": {"choice": MANY}}),
    ("/v1/completions", {"prompt": LONG, "response_format": FORMAT}),
    ("/v1/responses", {"input": LONG, "text": {"format": {"type": "json_schema", **NAMED}}}),
    (
        "/v1/messages",
        {"messages": MESSAGES, "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
    ),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("number", range(len(TOO_LARGE)))
def test_structured_outputs_that_take_long_to_compile_are_refused(
    service: Service, number: int, stream: bool
) -> None:
    path, body = TOO_LARGE[number]
    status, answer = post(service, path, stream=stream, **TOKENS.get(path, {"max_tokens": 5}), **body)
    assert status == 400, answer
    assert "this service compiles at most 102400" in answer["error"]["message"]
    assert len(json.dumps(answer)) < 1000, "the answer repeats the request"


def test_structured_outputs_of_an_ordinary_size_are_compiled(service: Service) -> None:
    choices = {"choice": MANY[:5000]}
    status, answer = post(service, CHAT, messages=MESSAGES, structured_outputs=choices, max_tokens=20)
    assert status == 200
    assert answer["choices"][0]["message"]["content"] in MANY[:5000]


def engine_health_seconds(service: Service) -> float:
    """Return how long the engine itself takes to answer /health."""
    began = time.monotonic()
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(60)
        link.connect(str(service.run_dir / "engine.sock"))
        link.sendall(b"GET /health HTTP/1.0\r\nHost: a\r\n\r\n")
        assert b" 200 " in link.recv(4096)
    return time.monotonic() - began


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with a ceiling of tokens, and none for grammars."""
    settings = {"NIM_MAX_OUTPUT_TOKENS": str(CEILING), "NIM_MAX_STRUCTURED_OUTPUT_SIZE": "0"}
    with serving(tmp_path_factory.mktemp("ceiling"), **settings) as running:
        yield running


@pytest.mark.own_engine
@pytest.mark.slow
@pytest.mark.timeout(2 * READY_SECONDS)
@pytest.mark.parametrize("asked", [None, 3, 500])
def test_no_answer_is_longer_than_the_ceiling(limited: Service, asked: int | None) -> None:
    most = min(asked or CEILING, CEILING)
    some = {} if asked is None else {"max_tokens": asked}
    _, completion = post(limited, "/v1/completions", prompt=LONG, ignore_eos=True, **some)
    assert completion["usage"]["completion_tokens"] == most
    _, chat = post(limited, "/v1/chat/completions", messages=MESSAGES, ignore_eos=True, **some)
    assert chat["usage"]["completion_tokens"] == most
    assert chat["choices"][0]["finish_reason"] == "length"
    newer = {} if asked is None else {"max_completion_tokens": asked}
    _, chat = post(limited, "/v1/chat/completions", messages=MESSAGES, ignore_eos=True, **newer)
    assert chat["usage"]["completion_tokens"] == most
    # Neither of these takes ignore_eos: TALE has a long answer, as the test below shows.
    _, response = post(
        limited, "/v1/responses", **TALE, **({} if asked is None else {"max_output_tokens": asked})
    )
    assert response["usage"]["output_tokens"] == most
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": REASON})
    _, message = post(limited, "/v1/messages", **TOLD, max_tokens=asked or 500)
    assert (message["usage"]["output_tokens"], message["stop_reason"]) == (most, "max_tokens")


def test_the_answers_that_the_ceiling_ends_are_longer_without_it(service: Service) -> None:
    _, response = post(service, "/v1/responses", **TALE, max_output_tokens=500)
    assert response["usage"]["output_tokens"] > CEILING
    assert response["status"] == "completed"
    _, message = post(service, "/v1/messages", **TOLD, max_tokens=500)
    assert message["usage"]["output_tokens"] > CEILING


@pytest.mark.own_engine
@pytest.mark.slow
def test_the_plan_and_metadata_tell_the_ceiling(limited: Service) -> None:
    shown = limited.json("/v1/metadata")
    assert "NIM_MAX_OUTPUT_TOKENS" in json.dumps(shown)


@pytest.mark.own_engine
@pytest.mark.slow
def test_ready_does_not_flap_while_the_engine_is_busy(limited: Service) -> None:
    """nginx waits half a second for the engine's /health, and the API server reads this for longer."""
    late, found = [], []
    with ThreadPoolExecutor(2) as pool:
        grammar = {"grammar": large_grammar(200_000)}
        attack = pool.submit(
            post, limited, "/v1/completions", prompt="a", max_tokens=1, structured_outputs=grammar
        )
        while not attack.done():
            answer = pool.submit(engine_health_seconds, limited)
            found.append(limited.get("/v1/health/ready"))
            late.append(answer.result())
    assert attack.result()[0] == 400
    assert max(late) > 0.6, "the engine was never late: this proves nothing"
    assert {status for status, _ in found} == {200}


class Redirecting(BaseHTTPRequestHandler):
    """Redirects /moved to /picture, which is there."""

    def do_GET(self) -> None:
        status, body = (302, b"moved") if self.path == "/moved" else (200, b"image")
        self.send_response(status)
        self.send_header("Location", "/picture")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        pass


FETCH = """
import sys
from vllm.connections import HTTPConnection
import vllm.envs as envs
for url in sys.argv[1:]:
    try:
        print(HTTPConnection().get_bytes(url, timeout=5, allow_redirects=envs.VLLM_MEDIA_URL_ALLOW_REDIRECTS))
    except Exception as error:
        print(type(error).__name__, error)
"""


@pytest.mark.slow
def test_vllm_follows_no_redirect_of_a_media_address_by_our_default() -> None:
    """As its media connector asks; the demo model has no images, so a request cannot show it."""
    server = HTTPServer(("127.0.0.1", 0), Redirecting)
    Thread(target=server.serve_forever, daemon=True).start()
    urls = [f"http://127.0.0.1:{server.server_port}/{path}" for path in ("picture", "moved")]
    found = {}
    for name in ("0", "1"):
        env = {**os.environ, "VLLM_MEDIA_URL_ALLOW_REDIRECTS": name}
        command = [sys.executable, "-c", FETCH, *urls]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        found[name] = done.stdout.splitlines()[-2:]
    server.shutdown()
    server.server_close()
    assert found["1"] == ["b'image'", "b'image'"]
    # What it is given instead is the body of the redirect, which is no picture.
    assert found[REQUEST_BOUNDS["VLLM_MEDIA_URL_ALLOW_REDIRECTS"]] == ["b'image'", "b'moved'"]
