"""Words in front of engine arguments that were copied with them."""

import shlex

import pytest

from nim.engine.arguments.pasted_command import is_command, without_command
from nim.errors import SettingsError

PLACE = "the command line"


@pytest.mark.parametrize(
    ("line", "tokens", "dropped"),
    [
        ("vllm serve org/name --dtype auto", "org/name --dtype auto", "vllm serve"),
        ("/usr/local/bin/vllm serve org/name", "org/name", "/usr/local/bin/vllm serve"),
        ("serve org/name", "org/name", "serve"),
        ("vllm serve --model org/name --seed 1", "org/name --seed 1", "vllm serve"),
        (
            "python3 -m vllm.entrypoints.openai.api_server --seed 1 --model=org/name",
            "org/name --seed 1",
            "python3 -m vllm.entrypoints.openai.api_server",
        ),
        (
            "python -u -m vllm.entrypoints.cli.main serve org/name",
            "org/name",
            "python -u -m vllm.entrypoints.cli.main serve",
        ),
        ("/opt/venv/bin/python3.12 -m vllm serve a/b", "a/b", "/opt/venv/bin/python3.12 -m vllm serve"),
        ("uv run vllm serve a/b", "a/b", "uv run vllm serve"),
        ("exec vllm serve a/b", "a/b", "exec vllm serve"),
        ("nim-serve a/b --seed 1", "a/b --seed 1", "nim-serve"),
        ("sh -c 'vllm serve a/b --seed 1'", "a/b --seed 1", "sh -c vllm serve"),
        ("/bin/bash -lc 'exec vllm serve a/b'", "a/b", "/bin/bash -lc exec vllm serve"),
    ],
)
def test_what_starts_the_engine_elsewhere_is_left_out(line: str, tokens: str, dropped: str) -> None:
    words = shlex.split(line)
    assert is_command(words[0])
    found = without_command(words, place=PLACE)
    assert found.tokens == tuple(tokens.split())
    assert found.notes == (f'"{dropped}" is left out: the launcher starts the engine',)


def test_dashes_before_the_options_are_left_out() -> None:
    found = without_command(["--", "--seed", "1"], place=PLACE)
    assert found.tokens == ("--seed", "1")
    assert found.notes == ('the "--" before the options is left out',)
    assert without_command(["--", "/models/x"], place=PLACE).tokens == ("--", "/models/x")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "--seed 1",
        "/models/vllm --seed 1",
        "./vllm",
        "org/vllm",
        "hf://org/serve",
        "a/b --model c/d",
        "--served-model-name vllm serve",
        "/opt/python3 -m other",
        "python3 -m other",
        "sh script",
        "image=4",
    ],
)
def test_anything_else_stays_as_it_is(line: str) -> None:
    found = without_command(line.split(), place=PLACE)
    assert (found.tokens, found.notes) == (tuple(line.split()), ())


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (
            "docker run --rm --gpus all -v /m:/m -p 8000:8000 --ipc=host vllm/vllm-openai:v0.11.0 --seed 1",
            "--seed 1",
        ),
        (
            "podman run -it nvcr.io/nim/meta/llama-3.1-8b-instruct:1.8.6",
            "what stands behind the image's name",
        ),
        ("docker run -e A=b/c image:latest --seed 1", "what stands behind the image's name"),
        ("sudo docker run --rm quay.io/a/b@sha256:00ff --api-key planted", "--api-key '****'"),
    ],
)
def test_a_container_is_not_started_in_here(line: str, hint: str) -> None:
    with pytest.raises(SettingsError, match="it starts a container") as refused:
        without_command(line.split(), place=PLACE)
    assert hint in (refused.value.hint or "")
    assert "planted" not in str(refused.value)


@pytest.mark.parametrize(
    "line",
    [
        "VLLM_USE_V1=1 vllm serve a/b",
        "export VLLM_USE_V1=1",
        "env VLLM_USE_V1=1 vllm serve",
        "vllm VLLM_USE_V1=1",
    ],
)
def test_a_variable_is_no_argument(line: str) -> None:
    with pytest.raises(SettingsError, match='cannot use "VLLM_USE_V1=…" from the command line') as refused:
        without_command(line.split(), place=PLACE)
    assert "-e VLLM_USE_V1=…" in (refused.value.hint or "")


def test_the_value_of_a_variable_is_not_shown() -> None:
    with pytest.raises(SettingsError) as refused:
        without_command(["HF_TOKEN=planted", "vllm", "serve"], place=PLACE)
    assert "planted" not in str(refused.value)
