"""Which names are secret, and which only look like it."""

import time
import timeit
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nim.engine import load_options
from nim.redact import (
    MASK,
    is_secret_name,
    known_secrets,
    mask_argv,
    mask_text,
    mask_value,
    secret_in,
    without,
)


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
        "VLLM_NIXL_AUTHKEY",
        "VLLM_SOME_AUTH",
        "SENTRY_DSN",
        "authToken",
        "auth_tokens",
        "DB_PWD",
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
        "skip_special_tokens",
        "eoi_token",
        "author",
        "PWD",
        "SSH_AUTH_SOCK",
        "GPG_KEY",
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
    assert mask_value("", {"HF_TOKEN": "x", "NGC_API_KEY": "", "HOME": "/"}) == {
        "HF_TOKEN": MASK,
        "NGC_API_KEY": "",
        "HOME": "/",
    }


# Each text holds "planted" where a person would have a password.
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:planted@proxy:3128/x", "http://****@proxy:3128/x"),
        ("redis://:planted@h/0 and http://h/", "redis://****@h/0 and http://h/"),
        ("https://planted@hub.example", "https://****@hub.example"),
        ("amqp://u:plan/ted@h", "amqp://****@h"),
        ("http://u:planted@a@h/", "http://****@h/"),
        ('{"auth_token": "planted", "x": 1}', '{"auth_token": "****", "x": 1}'),
        (r"""{"password": "a\"planted", "x": 1}""", '{"password": "****", "x": 1}'),
        (r"""args: "{\"auth\": \"planted\"}" end""", r"""args: "{\"auth\": \"****\"}" end"""),
        ("{'hf_overrides': {'authToken': 'planted'}}", "{'hf_overrides': {'authToken': '****'}}"),
        ("Namespace(api_key='planted', port=1)", "Namespace(api_key='****', port=1)"),
        ("https://cdn/x?a=1&X-Amz-Signature=planted&b=2", "https://cdn/x?a=1&X-Amz-Signature=****&b=2"),
        ("sent Authorization: Bearer planted", "sent Authorization: Bearer ****"),
    ],
)
def test_secrets_within_a_text_are_masked(text: str, shown: str) -> None:
    assert mask_text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "hf://org/name@main",
        "http://127.0.0.1:8000/v1/@x",
        "git@example.org:x",
        "HTTPS_PROXY=http://USER:PASSWORD@proxy:3128",
        '{"bos_token": "<s>", "image_token": "<image>", "max_tokens": "7"}',
        "tokenizer='x', max_model_len=8",
    ],
)
def test_other_text_is_left_as_it_is(text: str) -> None:
    assert mask_text(text) == text


@given(st.text(max_size=300))
def test_masking_twice_changes_nothing_more(text: str) -> None:
    assert mask_text(mask_text(text)) == mask_text(text)


@pytest.mark.parametrize("piece", ["a://a:", "a='", "x" * 40, '"token": "', "?token=", "\\", "://@", "a:b@"])
def test_a_long_line_is_masked_in_time_proportional_to_its_length(piece: str) -> None:
    seconds = []
    for count in (2_000, 16_000):
        text = "@=\"'" + piece * (count // len(piece))
        once = partial(mask_text, text)
        seconds.append(min(timeit.repeat(once, timer=time.process_time, number=1, repeat=5)))
    assert seconds[1] < 40 * max(seconds[0], 1e-4), seconds


def test_a_switch_of_a_secret_name_is_none() -> None:
    assert mask_value("", {"token": True, "password": 123456}) == {"token": True, "password": MASK}


def test_known_secrets_are_found_in_values_of_any_variable() -> None:
    environ = {
        "HF_ENDPOINT": "https://user:endpoint-planted@hub",
        "https_proxy": "user:proxy%2Fplanted@proxy:3128",
        "MY_SETTINGS": '{"auth": "json-planted"}',
        "HF_TOKEN": "token-planted",
        "PORT": "8000",
    }
    found = known_secrets(environ)
    text = "endpoint-planted, proxy%2Fplanted, proxy/planted, json-planted, token-planted on port 8000"
    assert without(found, text) == "****, ****, ****, ****, **** on port 8000"


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("api_key", "x", "api_key"),
        ("hf_overrides", {"a": [{"auth_token": "x"}]}, "auth_token"),
        ("otlp_traces_endpoint", "http://u:pw@h", "the user and password of its address"),
        ("chat_template", "{{ {'token': 'x'} }}", None),
        ("hf_token", True, None),
    ],
)
def test_the_part_of_an_option_that_is_secret_is_named(name: str, value: object, found: str | None) -> None:
    assert secret_in(name, value) == found
