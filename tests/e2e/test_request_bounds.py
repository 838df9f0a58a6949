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


def engine_health_seconds(service: Service) -> float:
    """Return how long the engine itself takes to answer /health."""
    began = time.monotonic()
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(60)
        link.connect(str(service.run_dir / "engine.sock"))
        link.sendall(b"GET /health HTTP/1.0\r\nHost: a\r\n\r\n")
        assert b" 200 " in link.recv(4096)
    return time.monotonic() - began


def test_ready_does_not_flap_while_the_engine_is_busy(service: Service) -> None:
    """nginx waits half a second for the engine's /health, and the API server reads this for longer."""
    late, found = [], []
    with ThreadPoolExecutor(2) as pool:
        grammar = {"grammar": large_grammar(200_000)}
        attack = pool.submit(
            post, service, "/v1/completions", prompt="a", max_tokens=1, structured_outputs=grammar
        )
        while not attack.done():
            answer = pool.submit(engine_health_seconds, service)
            found.append(service.get("/v1/health/ready"))
            late.append(answer.result())
    assert attack.result()[0] == 400
    assert max(late) > 0.6, "the engine was never late: this proves nothing"
    assert {status for status, _ in found} == {200}


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with a ceiling of tokens."""
    with serving(tmp_path_factory.mktemp("ceiling"), NIM_MAX_OUTPUT_TOKENS=str(CEILING)) as running:
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
    # Neither of these takes ignore_eos: the answer may end by itself before.
    _, response = post(
        limited, "/v1/responses", input=LONG, **({} if asked is None else {"max_output_tokens": asked})
    )
    assert 1 <= response["usage"]["output_tokens"] <= most
    _, message = post(limited, "/v1/messages", messages=MESSAGES, max_tokens=asked or 500)
    assert 1 <= message["usage"]["output_tokens"] <= most


@pytest.mark.own_engine
@pytest.mark.slow
def test_the_plan_and_metadata_tell_the_ceiling(limited: Service) -> None:
    shown = limited.json("/v1/metadata")
    assert "NIM_MAX_OUTPUT_TOKENS" in json.dumps(shown)


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
