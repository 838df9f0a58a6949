"""Which names are secret, and which only look like it."""

import pytest

from nim.engine import load_options
from nim.redact import MASK, is_secret_name, mask_argv, mask_env


@pytest.mark.parametrize(
    "name",
    [
        "HF_TOKEN",
        "NGC_API_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_SESSION_TOKEN",
        "VLLM_API_KEY",
        "--api-key",
        "token",
        "DB_PASSWORD",
        "api_keys",
    ],
)
def test_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "max_tokens",
        "num_speculative_tokens",
        "tokenizer",
        "eos_token",
        "--allow-credentials",
        "thinking_token_budget",
    ],
)
def test_what_only_sounds_secret(name: str) -> None:
    assert not is_secret_name(name)


def test_of_the_engines_options_only_two_are_secret() -> None:
    assert {name for name in load_options().options if is_secret_name(name)} == {"api_key", "hf_token"}


def test_arguments_are_masked_until_the_next_flag() -> None:
    argv = ("vllm", "--api-key", "a", "b", "--port", "1", "--hf-token=c")
    assert mask_argv(argv) == ("vllm", "--api-key", MASK, MASK, "--port", "1", f"--hf-token={MASK}")


def test_variables_are_masked_where_they_have_a_value() -> None:
    assert mask_env({"HF_TOKEN": "x", "NGC_API_KEY": "", "HOME": "/"}) == {
        "HF_TOKEN": MASK,
        "NGC_API_KEY": "",
        "HOME": "/",
    }
