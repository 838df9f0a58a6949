"""Each `curl` line of the API's documentation, as printed, with the model's name filled in by the shell."""

import json
import os
import subprocess
from typing import Any

import pytest

from tests.e2e.conftest import Service

pytestmark = pytest.mark.engine
MODEL = "nim/demo"


def shell(service: Service, script: str) -> str:
    """Run a documented command line; only the address is ours."""
    script = script.replace("http://localhost:8000", service.root)
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        env={**os.environ, "MODEL_NAME": MODEL},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def post(service: Service, path: str, body: str) -> Any:
    """Return the answer to `curl -s URL -H … -d "…"`, quoted as in the documentation."""
    quoted = body.replace('"', '\\"')
    line = f'curl -s http://localhost:8000{path} -H "Content-Type: application/json" -d "{quoted}"'
    return json.loads(shell(service, line))


def test_chat(service: Service) -> None:
    body = """{
    "model": "${MODEL_NAME}",
    "messages": [{"role": "user", "content": "What is GPU computing?"}],
    "max_tokens": 256
    }"""
    assert post(service, "/v1/chat/completions", body)["choices"][0]["message"]["content"]


def test_streamed_chat_ends_in_done(service: Service) -> None:
    out = shell(
        service,
        """curl -s http://localhost:8000/v1/chat/completions \\
        -H "Content-Type: application/json" \\
        -d "{
        \\"model\\": \\"${MODEL_NAME}\\",
        \\"messages\\": [{\\"role\\": \\"user\\", \\"content\\": \\"Explain transformers briefly.\\"}],
        \\"max_tokens\\": 256,
        \\"stream\\": true
        }" """,
    )
    events = [line for line in out.splitlines() if line]
    assert all(line.startswith("data: ") for line in events)
    assert events[-1] == "data: [DONE]"
    assert json.loads(events[0].removeprefix("data: "))["object"] == "chat.completion.chunk"


def test_completions(service: Service) -> None:
    body = '{"model": "${MODEL_NAME}", "prompt": "Once upon a time", "max_tokens": 64}'
    assert post(service, "/v1/completions", body)["choices"][0]["text"]


def test_responses(service: Service) -> None:
    body = '{"model": "${MODEL_NAME}", "input": "Explain the theory of relativity in one sentence."}'
    answer = post(service, "/v1/responses", body)
    assert answer["status"] == "completed"
    assert answer["output"]


def test_messages(service: Service) -> None:
    body = """{
    "model": "${MODEL_NAME}",
    "messages": [{"role": "user", "content": "Hello, how are you?"}],
    "max_tokens": 64
    }"""
    assert post(service, "/v1/messages", body)["content"][0]["type"] == "text"


def test_messages_count_tokens(service: Service) -> None:
    body = """{
    "model": "${MODEL_NAME}",
    "messages": [{"role": "user", "content": "Hello, how are you?"}]
    }"""
    assert post(service, "/v1/messages/count_tokens", body)["input_tokens"] > 0


def test_tokenize_and_detokenize_are_inverse(service: Service) -> None:
    tokens = post(service, "/tokenize", '{"model": "${MODEL_NAME}", "prompt": "Hello world"}')["tokens"]
    body = f'{{"model": "${{MODEL_NAME}}", "tokens": {json.dumps(tokens)}}}'
    assert "Hello world" in post(service, "/detokenize", body)["prompt"]


def test_models(service: Service) -> None:
    listed = json.loads(shell(service, "curl -s http://localhost:8000/v1/models"))
    assert [model["id"] for model in listed["data"]] == [MODEL]
    assert listed["object"] == "list"


def test_generate_takes_and_gives_tokens(service: Service) -> None:
    # The documentation takes the tokens out with jq; Python does the same where jq is not installed.
    out = shell(
        service,
        """TOKENS=$(curl -s http://localhost:8000/tokenize \\
        -H "Content-Type: application/json" \\
        -d "{\\"model\\": \\"${MODEL_NAME}\\", \\"prompt\\": \\"Hello\\"}" \\
        | python3 -c 'import json, sys; print(json.dumps(json.load(sys.stdin)["tokens"]))')
        curl -s http://localhost:8000/inference/v1/generate \\
        -H "Content-Type: application/json" \\
        -d "{
        \\"model\\": \\"${MODEL_NAME}\\",
        \\"token_ids\\": ${TOKENS},
        \\"sampling_params\\": {
        \\"max_tokens\\": 16,
        \\"temperature\\": 0.0,
        \\"detokenize\\": false
        },
        \\"stream\\": false
        }" """,
    )
    assert json.loads(out)["choices"][0]["token_ids"]


def labels(service: Service) -> list[int]:
    """Return the tokens of the two labels to score."""
    return [
        post(service, "/tokenize", f'{{"model": "${{MODEL_NAME}}", "prompt": "{word}"}}')["tokens"][-1]
        for word in (" yes", " no")
    ]


def test_generative_scoring(service: Service) -> None:
    body = f"""{{
    "model": "${{MODEL_NAME}}",
    "query": "Is the sky blue?",
    "items": [""],
    "label_token_ids": {labels(service)}
    }}"""
    (scored,) = post(service, "/generative_scoring", body)["data"]
    assert scored["score"] > 0.9


def test_generative_scoring_as_it_was_once_written_is_the_engines_own_refusal(service: Service) -> None:
    # The line in NIM's documentation has `prompt`; this vLLM wants `query` and `items`, and says so itself.
    body = f"""{{
    "model": "${{MODEL_NAME}}",
    "prompt": "Is the sky blue?",
    "label_token_ids": {labels(service)}
    }}"""
    error = post(service, "/generative_scoring", body)["error"]
    assert error["code"] == 400
    assert "query" in error["message"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "/v1/chat/completions/render",
            '{"model": "${MODEL_NAME}", "messages": [{"role": "user", "content": "Hello"}]}',
        ),
        ("/v1/completions/render", '{"model": "${MODEL_NAME}", "prompt": "Hello"}'),
    ],
)
def test_render_formats_without_inference(service: Service, path: str, body: str) -> None:
    assert "token_ids" in json.dumps(post(service, path, body))


def test_health(service: Service) -> None:
    live = shell(service, "curl -s http://localhost:8000/v1/health/live")
    assert live == '{"object":"health.response","message":"live","status":"live"}'
    ready = shell(service, "curl -s http://localhost:8000/v1/health/ready")
    assert ready == '{"object":"health.response","message":"ready","status":"ready"}'


def test_metadata_and_version(service: Service) -> None:
    metadata = json.loads(shell(service, "curl -s http://localhost:8000/v1/metadata"))
    assert metadata["modelInfo"][0]["shortName"] == MODEL
    assert metadata["engine"]["name"] == "vllm"
    version = json.loads(shell(service, "curl -s http://localhost:8000/v1/version"))
    assert version.keys() == {"release", "api"}


def test_manifest_and_license(service: Service) -> None:
    manifest = json.loads(shell(service, "curl -s http://localhost:8000/v1/manifest"))
    metadata = service.json("/v1/metadata")
    assert metadata["selectedModelProfileId"] in [profile["id"] for profile in manifest["profiles"]]
    license_ = json.loads(shell(service, "curl -s http://localhost:8000/v1/license"))
    assert "Apache License" in license_["content"]


def test_metrics_hold_the_engines_and_ours(service: Service) -> None:
    text = shell(service, "curl -s http://localhost:8000/v1/metrics")
    assert "vllm:num_requests_running" in text
    assert "\nnim_ready 1.0\n" in text
