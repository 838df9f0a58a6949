"""Speculative decoding on the real engine: the same answers, and drafts that are accepted."""

from pathlib import Path

import pytest

from tests.e2e.conftest import READY_SECONDS, serving
from tests.e2e.test_modalities import post
from tests.middleware.test_metrics import parsed, value

pytestmark = [pytest.mark.engine, pytest.mark.own_engine, pytest.mark.timeout(3 * READY_SECONDS)]
GREETING = {"role": "user", "content": "Hello! How are you?"}
ANSWER = "Hello! I'm ready to help."


def test_repeats_of_the_prompt_are_drafted_and_accepted(tmp_path: Path) -> None:
    with serving(tmp_path, NIM_SPECDEC_ENABLE="1") as service:
        asked = {"model": "nim/demo", "temperature": 0, "max_tokens": 100}
        # The second time, the answer is in the prompt.
        for messages in ([GREETING], [GREETING, {"role": "assistant", "content": ANSWER}, GREETING]):
            _, answer = post(service, "/v1/chat/completions", messages=messages, **asked)
            assert answer["choices"][0]["message"]["content"] == ANSWER
        families = parsed(service.get("/v1/metrics")[1])
        assert value(families, "vllm:spec_decode_num_draft_tokens") > 0
        assert value(families, "vllm:spec_decode_num_accepted_tokens") > 0
