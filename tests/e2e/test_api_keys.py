"""The real engine behind TLS and API keys: both SDKs, the doctor, and where keys can be found afterwards."""

import json
import os
import secrets
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
import schemathesis
from hypothesis import given, settings
from schemathesis import Case, GenerationMode

from nim.cleanup.read_and_watch_processes import all_processes, below
from nim.planning.read_host_facts import find_lua_modules
from nim.preflight.read_api_keys_file import digest_of
from tests.certificates import Authority
from tests.e2e.conftest import READY_SECONDS, Service, serving
from tests.e2e.test_generated_requests import ANSWERED_BEHIND, REPEATABLE, Operation

pytestmark = [
    pytest.mark.engine,
    pytest.mark.own_engine,
    pytest.mark.slow,
    pytest.mark.timeout(2 * READY_SECONDS),
    pytest.mark.skipif(not find_lua_modules(), reason="nginx's Lua module is not installed"),
]
EXAMPLES = 4
# A generated path parameter may make a path of no route, a generated header none of HTTP.
REFUSALS = (400, 401, 404, 405)
MODEL = "nim/demo"
GREETING: list[Any] = [{"role": "user", "content": "Hello! How are you?"}]
IN_FILE, IN_ENVIRONMENT, WRONG = (f"nim-{word}-{secrets.token_hex(16)}" for word in ("file", "env", "wrong"))
DOCTOR_ATTEMPTS = 2
"""Where the machine stands still meanwhile, a check may fail; timing is judged in test_doctor.py.

The doctor's client leaves as asyncio does: it ends TLS and keeps the TCP connection for up to 30 s, which
nginx does not notice over HTTP/1.1 (docs/operate.md). The SDKs close both.
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with TLS, a key in a file and one in VLLM_API_KEY."""
    directory = tmp_path_factory.mktemp("keys")
    authority = Authority(directory / "authority")
    pair = authority.issue("service")
    keys = directory / "keys"
    keys.write_text(f"alice sha256:{digest_of(IN_FILE)}\n", encoding="utf-8")
    variables = {
        "NIM_SSL_MODE": "TLS",
        "NIM_SSL_CERTS_PATH": pair.certificate,
        "NIM_SSL_KEY_PATH": pair.key,
        "NIM_API_KEYS_FILE": str(keys),
        "VLLM_API_KEY": IN_ENVIRONMENT,
    }
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):  # for every client here, as a user would
            patch.setenv(variable, authority.certificate)
        with serving(directory, **variables) as running:
            yield running


@pytest.mark.parametrize("key", [IN_FILE, IN_ENVIRONMENT], ids=["file", "environment"])
def test_the_openai_sdk_is_answered_with_a_key(service: Service, key: str) -> None:
    with openai.OpenAI(base_url=f"{service.root}/v1", api_key=key, max_retries=0) as client:
        answer = client.chat.completions.create(
            model=MODEL, messages=GREETING, stream=True, max_tokens=64, temperature=0
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices)
    assert text == "Hello! I'm ready to help."


@pytest.mark.parametrize("key", [IN_FILE, IN_ENVIRONMENT], ids=["file", "environment"])
def test_the_anthropic_sdk_is_answered_with_a_key(service: Service, key: str) -> None:
    ways: list[dict[str, Any]] = [{"api_key": key}, {"auth_token": key}]
    for how in ways:  # x-api-key, and a bearer token
        with (
            anthropic.Anthropic(base_url=service.root, max_retries=0, **how) as client,
            client.messages.stream(model=MODEL, max_tokens=64, messages=GREETING) as stream,
        ):
            assert "".join(stream.text_stream) == "Hello! I'm ready to help."


def test_a_wrong_key_is_each_sdk_s_authentication_error(service: Service) -> None:
    with (
        openai.OpenAI(base_url=f"{service.root}/v1", api_key=WRONG, max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as refused,
    ):
        client.chat.completions.create(model=MODEL, messages=GREETING)
    assert refused.value.code == "invalid_api_key"
    with (
        anthropic.Anthropic(base_url=service.root, api_key=WRONG, max_retries=0) as other,
        pytest.raises(anthropic.AuthenticationError) as refused_too,
    ):
        other.messages.create(model=MODEL, max_tokens=8, messages=GREETING)
    assert refused_too.value.type == "authentication_error"


def test_the_doctor_finds_nothing_through_tls_and_keys(service: Service) -> None:
    flags = [f"--url={service.root}", "--idle=2", "--max-body=8", "--json"]
    env = {**os.environ, "VLLM_API_KEY": IN_FILE}
    bad = []
    for _ in range(DOCTOR_ATTEMPTS):
        command = [sys.executable, "-m", "nim", "doctor", "stream", *flags]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=env)
        checks = json.loads(done.stdout)["checks"]
        assert "ok" in {check["verdict"] for check in checks}
        failed = [check for check in checks if check["verdict"] == "FAIL"]
        bad.append([check for check in failed if not check["check"].startswith("disconnect-")])
        if not bad[-1]:
            return
    pytest.fail(f"{bad}")


def test_no_key_is_in_a_command_line_a_file_the_log_or_the_metadata(service: Service) -> None:
    """The wrong key as well: a person may have mistyped a right one."""
    places = {
        "metadata": _as_alice(service, "/v1/metadata"),
        "metrics": _as_alice(service, "/v1/metrics"),
        "log": service.log.read_bytes(),
    }
    for process in (
        service.process.pid,
        *(found.pid for found in below(service.process.pid, all_processes())),
    ):
        places[f"command line of {process}"] = _read(Path(f"/proc/{process}/cmdline"))
    for path in service.run_dir.rglob("*"):
        if path.is_file():
            places[str(path)] = _read(path)
    assert b"api_key=alice" in places["log"]
    assert b"VLLM::EngineCore" in b"".join(
        text for place, text in places.items() if place.startswith("command line")
    )
    found = [
        place
        for place, text in places.items()
        for key in (IN_FILE, IN_ENVIRONMENT, WRONG)
        if key.encode() in text
    ]
    assert found == []


def test_the_engine_has_no_key_in_its_environment(service: Service) -> None:
    """Its workers run code that a model may bring; nginx has checked the key before."""
    pids = [found.pid for found in below(service.process.pid, all_processes())]
    engine = [pid for pid in pids if b"VLLM::EngineCore" in _read(Path(f"/proc/{pid}/cmdline"))]
    assert engine
    for pid in engine:
        assert IN_ENVIRONMENT.encode() not in _read(Path(f"/proc/{pid}/environ"))


def test_every_route_but_health_asks_for_a_key(service: Service) -> None:
    document = json.loads(_as_alice(service, "/openapi.json"))
    asked = {path for path in document["paths"] if "{" not in path}
    assert {"/tokenize", "/v1/models", "/v1/metadata"} <= asked
    for path in asked:
        health = path.startswith("/v1/health/")
        for method in document["paths"][path]:
            status = _status(service, path, method.upper())
            assert (status != 401) if health else (status == 401), (method, path, status)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "invalid"])
def test_no_generated_request_passes_without_a_key(service: Service, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_dict(json.loads(_as_alice(service, "/openapi.json")))
    operations: list[Operation] = [found.ok() for found in schema.get_all_operations()]  # type: ignore[union-attr]
    guarded = [operation for operation in operations if not operation.path.startswith("/v1/health/")]
    assert len(guarded) > 20
    passed = [
        text
        for operation in guarded
        if mode is GenerationMode.POSITIVE or operation.body
        for text in _passed(service, operation, mode)
    ]
    assert not passed, "\n".join(passed)


def _passed(service: Service, operation: Operation, mode: GenerationMode) -> list[str]:
    """Return what was answered otherwise than with a refusal of nginx's own."""
    found: list[str] = []

    @settings(REPEATABLE, max_examples=EXAMPLES)
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Case[Any]) -> None:
        answer = case.call(base_url=service.root, timeout=30)
        if answer.status_code not in REFUSALS or ANSWERED_BEHIND in answer.headers:
            found.append(f"{answer.status_code} {answer.text[:300]}\n  {case.as_curl_command()}")

    ask()
    return found


def _as_alice(service: Service, path: str) -> bytes:
    request = urllib.request.Request(service.root + path, headers={"Authorization": f"Bearer {IN_FILE}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        body: bytes = answer.read()
        return body


def _status(service: Service, path: str, method: str) -> int:
    data = b"{}" if method == "POST" else None
    request = urllib.request.Request(service.root + path, data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def _read(path: Path) -> bytes:
    """Return a file's bytes; none if its process has ended."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
