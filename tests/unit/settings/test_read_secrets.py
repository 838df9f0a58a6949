"""Secrets in the environment and in files, as Kubernetes and Docker mount them."""

from pathlib import Path

import pytest

from nim.errors import SettingsError
from nim.settings import with_secrets
from nim.settings.read_secrets import SECRETS


def test_a_file_gives_the_value_without_its_last_newline(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hf_abc\n")
    assert with_secrets({"HF_TOKEN_FILE": str(tmp_path / "token")}) == {"HF_TOKEN": "hf_abc"}


def test_both_forms_at_once_are_refused_without_showing_either(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        with_secrets({"HF_TOKEN_FILE": str(tmp_path), "HF_TOKEN": "hf_planted"})
    assert "hf_planted" not in str(refused.value)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(SettingsError, match="HF_TOKEN_FILE '/nowhere'"):
        with_secrets({"HF_TOKEN_FILE": "/nowhere"})


def test_an_empty_file_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(" \n")
    with pytest.raises(SettingsError, match=r"VLLM_API_KEY_FILE '.*key': the file is empty"):
        with_secrets({"VLLM_API_KEY_FILE": str(tmp_path / "key")})


def test_other_variables_pass_as_they_are() -> None:
    environ = {"SOME_FILE": "/x", "A": "", "MY_TOKEN": "a\n", "VLLM_API_KEY": ""}
    assert with_secrets(environ) == environ


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize(
    "text", ["planted\n", "planted\r\n", " planted ", "\tplanted", '"planted"', "'planted'\n"]
)
def test_what_an_echo_or_an_env_file_adds_is_left_out(name: str, text: str) -> None:
    assert with_secrets({name: text}) == {name: "planted"}


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("pla\nnted", "character 4 of 8 is not a printable ASCII character (U+000A)"),
        ("plant\x00ed", "character 6 of 8 is not a printable ASCII character (U+0000)"),
        ("\x1bplanted", "character 1 of 8 is not a printable ASCII character (U+001B)"),
        ("plantéd", "character 6 of 7 is not a printable ASCII character (U+00E9)"),
        ("planted\u200b", "character 8 of 8 is not a printable ASCII character (U+200B)"),
    ],
)
def test_what_no_client_can_send_is_refused_and_not_shown(name: str, text: str, where: str) -> None:
    with pytest.raises(SettingsError) as refused:
        with_secrets({name: text})
    assert refused.value.message.startswith(f"cannot use {name}: {where}")
    assert "planted" not in str(refused.value)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("text", ["\n", "  ", '""', "''\n"])
def test_a_blank_key_does_not_leave_the_service_open(text: str) -> None:
    with pytest.raises(SettingsError, match="cannot use VLLM_API_KEY: its value is blank"):
        with_secrets({"VLLM_API_KEY": text})


@pytest.mark.parametrize(
    "text", ["$KEY", "${KEY}", "${KEY:-planted}", "$(KEY)", "{{ .Values.key }}", "<your key>", '"$KEY"']
)
def test_a_key_that_anybody_could_guess_is_none(text: str) -> None:
    with pytest.raises(SettingsError, match="cannot use VLLM_API_KEY: its value is a placeholder") as refused:
        with_secrets({"VLLM_API_KEY": text})
    assert "planted" not in str(refused.value)


@pytest.mark.parametrize("name", SECRETS)
def test_a_header_is_no_key(name: str) -> None:
    with pytest.raises(SettingsError, match=f'cannot use {name}: its value begins with "Bearer "'):
        with_secrets({name: "Bearer planted"})


@pytest.mark.parametrize(
    "text", ["VLLM_API_KEY=planted", "export VLLM_API_KEY=planted", 'VLLM_API_KEY="planted"']
)
def test_a_line_of_an_env_file_holds_the_key(text: str) -> None:
    assert with_secrets({"VLLM_API_KEY": text}) == {"VLLM_API_KEY": "planted"}


@pytest.mark.parametrize("text", ["p$anted", "pl anted", "<planted", "planted>x", "a$B", "$planted"])
def test_signs_in_a_key_are_its_own(text: str) -> None:
    assert with_secrets({"VLLM_API_KEY": text}) == {"VLLM_API_KEY": text}
