"""A proxy before two real engines with models of different names: SDKs, curl, prefixes."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anthropic
import openai
import pytest

from tests.e2e.conftest import Service, serving
from tests.fakes.launch import wait_until
from tests.proxy.running import Proxy

pytestmark = [pytest.mark.engine, pytest.mark.own_engine, pytest.mark.slow, pytest.mark.timeout(900)]

LLAMA, OTHER, BOTH = "meta/llama-3.1-8b-instruct", "org/other", "org/both"
CURL = """curl -s -X POST \\
  "${NIM_PROXY_BASE_URL}/v1/chat/completions" \\
  -H 'accept: application/json' \\
  -H 'Content-Type: application/json' \\
  -d '{
    "model": "meta/llama-3.1-8b-instruct",
    "messages": [
        {
            "role":"user",
            "content":"Hello! How are you?"
        }
    ],
    "max_tokens": 32
  }'"""
# An odd number: by load alone, each turn of a conversation meets the other replica.
CONVERSATIONS, TURNS = 7, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A proxy before two services."""

    proxy: Proxy
    first: Service
    second: Service

    def write(self, routing: str) -> None:
        self.proxy.write(backends(self.first, self.second, routing))


def backends(first: Service, second: Service, routing: str) -> str:
    """Return a file of backends in which both have one model, and each one of its own."""
    entries = [
        {"name": "first", "urls": [first.root], "models": [LLAMA, BOTH], "routing": routing},
        {"name": "second", "urls": [second.root], "models": [OTHER, BOTH], "routing": routing},
    ]
    return json.dumps({"backends": entries})


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(
                serving(tmp_path_factory.mktemp("engine"), NIM_SERVED_MODEL_NAME=f"{name},{BOTH}")
            )
            for name in (LLAMA, OTHER)
        )
        proxy = Proxy(tmp_path_factory.mktemp("proxy"), backends(first, second, "least"))
        try:
            proxy.wait_ready(2)
            yield Pair(proxy=proxy, first=first, second=second)
        finally:
            assert proxy.stop() == 0, proxy.text


def has_served(service: Service, count: float) -> bool:
    """Return whether an engine has finished exactly so many requests."""
    return served(service) == count


def served(service: Service) -> float:
    """Return how many requests an engine has finished."""
    _, text = service.get("/v1/metrics")
    found = re.findall(rb"^vllm:request_success_total\{.*?\} ([0-9.e+]+)$", text, re.MULTILINE)
    return sum(map(float, found))


def test_openais_sdk_reaches_both_engines(pair: Pair) -> None:
    with openai.OpenAI(base_url=f"{pair.proxy.url}/v1", api_key="none", max_retries=0) as client:
        assert {model.id for model in client.models.list()} == {LLAMA, OTHER, BOTH}
        for model, service in ((LLAMA, pair.first), (OTHER, pair.second)):
            before = served(service)
            answer = client.chat.completions.create(
                model=model, messages=[{"role": "user", "content": "Hello! How are you?"}], max_tokens=32
            )
            assert answer.choices[0].message.content
            chunks = list(
                client.chat.completions.create(
                    model=model,
                    messages=[{"role": "user", "content": "Hello! How are you?"}],
                    max_tokens=32,
                    stream=True,
                )
            )
            assert len(chunks) > 3
            assert client.models.retrieve(model).id == model
            wait_until(partial(has_served, service, before + 2), "the engine's count")
        with pytest.raises(openai.NotFoundError, match="does not exist"):
            client.completions.create(model="org/none", prompt="Hello")


def test_a_response_goes_on_where_it_is_stored(pair: Pair) -> None:
    with openai.OpenAI(base_url=f"{pair.proxy.url}/v1", api_key="none", max_retries=0) as client:
        for _ in range(4):
            first = client.responses.create(model=BOTH, input="Hello!", max_output_tokens=16)
            assert client.responses.retrieve(first.id).id == first.id
            second = client.responses.create(
                model=BOTH, input="And now?", previous_response_id=first.id, max_output_tokens=16
            )
            assert second.previous_response_id == first.id


def test_anthropics_sdk_reaches_both_engines(pair: Pair) -> None:
    with anthropic.Anthropic(base_url=pair.proxy.url, api_key="none", max_retries=0) as client:
        for model in (LLAMA, OTHER):
            with client.messages.stream(
                model=model, max_tokens=32, messages=[{"role": "user", "content": "Hello! How are you?"}]
            ) as stream:
                assert stream.get_final_message().content
        with pytest.raises(anthropic.NotFoundError):
            client.messages.create(
                model="org/none", max_tokens=8, messages=[{"role": "user", "content": "x"}]
            )


def test_nemos_sdk_with_an_inference_base_url(pair: Pair) -> None:
    sdk = pytest.importorskip("nemo_microservices")
    client = sdk.NeMoMicroservices(base_url="http://127.0.0.1:9", inference_base_url=pair.proxy.url)
    response = client.chat.completions.create(
        model=LLAMA,
        messages=[{"role": "user", "content": "what can you do?"}],
        temperature=0.7,
        max_tokens=100,
        stream=True,
    )
    assert len(list(response)) > 3
    assert {model.id for model in client.inference.models.list().data} == {LLAMA, OTHER, BOTH}
    client.close()


def test_the_documented_curl_command(pair: Pair, tmp_path: Path) -> None:
    env = {**os.environ, "NIM_PROXY_BASE_URL": pair.proxy.url}
    done = subprocess.run(
        ["sh", "-c", CURL], env=env, capture_output=True, text=True, check=True, cwd=tmp_path
    )
    answer = json.loads(done.stdout)
    assert answer["object"] == "chat.completion"
    assert answer["model"] == LLAMA
    assert answer["usage"]["completion_tokens"] > 0


def cached_tokens(pair: Pair) -> tuple[float, float]:
    """Return (tokens of prompts found in the caches, tokens looked for) of both engines."""
    sums = []
    for name in (b"hits", b"queries"):
        pattern = rb"^vllm:prefix_cache_" + name + rb"_total\{.*?\} ([0-9.e+]+)$"
        texts = (service.get("/v1/metrics")[1] for service in (pair.first, pair.second))
        sums.append(sum(float(found) for text in texts for found in re.findall(pattern, text, re.MULTILINE)))
    return sums[0], sums[1]


def hold_conversations(pair: Pair, salt: str) -> float:
    """Return the share of prompts' tokens found in the engines' caches while conversations take turns."""
    before = cached_tokens(pair)
    history = {
        number: [{"role": "system", "content": f"{salt} {number}: " + "be brief and kind, please. " * 60}]
        for number in range(CONVERSATIONS)
    }
    for turn in range(TURNS):
        for messages in history.values():
            messages.append({"role": "user", "content": f"Turn {turn}: and what else?"})
            body = {"model": BOTH, "messages": messages, "max_tokens": 8, "temperature": 0}
            answer = pair.proxy.post("/v1/chat/completions", body)
            assert answer.status == 200, answer.body
            content = answer.json["choices"][0]["message"]["content"] or "well"
            messages.append({"role": "assistant", "content": content})
    hits, queries = (after - at for after, at in zip(cached_tokens(pair), before, strict=True))
    return hits / queries


def test_conversations_hit_the_engines_caches_more_by_prefix(pair: Pair) -> None:
    by_load = hold_conversations(pair, "first")
    pair.write("prefix")
    pair.proxy.wait_said("the file of backends has changed")
    by_prefix = hold_conversations(pair, "second")
    print(f"share of prompt tokens in the cache: {by_load:.3f} by load, {by_prefix:.3f} by prefix")
    assert by_prefix > by_load + 0.1
    metrics = pair.proxy.get("/v1/metrics").body
    assert b'nim_proxy_prefix_choices_total{backend="first",hit="true",model="org/both"}' in metrics
