"""Requests generated from the service's OpenAPI document cause no unexpected 5xx."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.schemas import APIOperation

from tests.e2e.conftest import Service

pytestmark = [pytest.mark.engine, pytest.mark.slow]

EXAMPLES = 8
ANSWER_SECONDS = 120
# Only what passed through to the engine and came back has this header; our own errors have it not.
ANSWERED_BEHIND = "server-timing"
# What the engine itself answers, and may: it has no such API for this model.
OF_THE_ENGINE = {("/v1/systemone", 501)}
# A text of a few tokens says as much about the gateway as a long one.
LIMITS = {"max_tokens": 8, "max_completion_tokens": 8, "max_output_tokens": 8, "n": 2}


REPEATABLE = settings(
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
Operation = APIOperation[Any, Any, Any, Any]


def sparing(case: Case[Any]) -> Case[Any]:
    """Return the same request for the model that is there, and not for more than a few tokens."""
    if isinstance(case.body, dict):
        for name, most in LIMITS.items():
            wanted = case.body.get(name)
            if isinstance(wanted, int):
                case.body[name] = min(wanted, most)
        if "model" in case.body:
            case.body["model"] = "nim/demo"
    return case


def wrong_answers(service: Service, operation: Operation, mode: GenerationMode) -> list[str]:
    """Return what was answered with a 5xx that it should not have been."""
    wrong: list[str] = []

    @settings(REPEATABLE, max_examples=EXAMPLES)
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Case[Any]) -> None:
        answer = sparing(case).call(base_url=service.root, timeout=ANSWER_SECONDS)
        behind = ANSWERED_BEHIND in answer.headers
        expected = behind and (operation.path, answer.status_code) in OF_THE_ENGINE
        if answer.status_code >= 500 and not expected:
            who = "the engine" if behind else "the gateway"
            wrong.append(f"{who}: {answer.status_code} {answer.text[:300]}\n  {case.as_curl_command()}")

    ask()
    return wrong


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "invalid"])
def test_no_request_is_too_strange(service: Service, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_dict(service.json("/openapi.json"))
    operations: list[Operation] = [found.ok() for found in schema.get_all_operations()]  # type: ignore[union-attr]
    assert {"/v1/chat/completions", "/v1/metadata"} <= {operation.path for operation in operations}
    wrong = [
        text
        for operation in operations
        if mode is GenerationMode.POSITIVE or operation.body
        for text in wrong_answers(service, operation, mode)
    ]
    assert not wrong, "\n".join(wrong)
    assert service.get("/v1/health/ready")[0] == 200
