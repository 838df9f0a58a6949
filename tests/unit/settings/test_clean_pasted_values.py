"""Remains of env files, YAML and shells around a value are removed with a warning."""

import pytest

from nim.errors import SettingsError
from nim.settings import Settings, read_settings


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("NIM_SERVER_PORT", '"9000"', "server_port", 9000),
        ("NIM_SERVER_PORT", "'9000'", "server_port", 9000),
        ("NIM_SERVER_PORT", "“9000”", "server_port", 9000),
        ("NIM_SERVER_PORT", "9000 # the API's", "server_port", 9000),
        ("NIM_SERVER_PORT", "NIM_SERVER_PORT=9000", "server_port", 9000),
        ("NIM_MAX_MODEL_LEN", '"32768"', "max_model_len", "32768"),
        ("NIM_MAX_MODEL_LEN", "32768 # tokens", "max_model_len", "32768"),
        ("NIM_MODEL_PATH", '"/models/x"', "model_path", "/models/x"),
        ("NIM_MODEL_PATH", "export NIM_MODEL_PATH=/models/x", "model_path", "/models/x"),
        ("NIM_CUSTOM_MODEL", "NIM_CUSTOM_MODEL='/models/x'", "model_path", "/models/x"),
        ("NIM_DISABLE_CUDA_GRAPH", '"true"', "disable_cuda_graph", True),
        ("NIM_ROUTES", '"+debug,-docs"', "routes", ("+debug", "-docs")),
        ("NIM_LOG_LEVEL", "`INFO`", "log_level", "INFO"),
    ],
)
def test_quotes_and_names_around_a_value_are_dropped_with_a_warning(
    name: str, text: str, field: str, value: object
) -> None:
    settings = read_settings({name: text})
    assert getattr(settings, field) == value
    assert f"{name} '{text}' is read as '" in settings.warnings[-1]


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("NIM_SERVER_PORT", "9000\r\n", "server_port", 9000),
        ("NIM_SERVER_PORT", "\u00a09000\u00a0", "server_port", 9000),
        ("NIM_MODEL_PATH", " /models/x\r", "model_path", "/models/x"),
        ("NIM_MODEL_NAME", "it's", "model_name", "it's"),
        ("NIM_CHAT_TEMPLATE", "'a' and 'b'", "chat_template", "'a' and 'b'"),
        ("NIM_PASSTHROUGH_ARGS", '"--enforce-eager"', "passthrough_args", '"--enforce-eager"'),
        ("NIM_PASSTHROUGH_ARGS", "--seed 1 # x", "passthrough_args", "--seed 1 # x"),
        ("NIM_MODEL_NAME", '"', "model_name", '"'),
        ("NIM_MODEL_NAME", "costs$5", "model_name", "costs$5"),
        ("NIM_MODEL_NAME", "$x", "model_name", "$x"),
        ("NIM_CHAT_TEMPLATE", "{{ messages }}", "chat_template", "{{ messages }}"),
    ],
)
def test_blank_parts_are_dropped_silently_and_the_rest_is_kept(
    name: str, text: str, field: str, value: object
) -> None:
    settings = read_settings({name: text})
    assert (getattr(settings, field), settings.warnings) == (value, ())


def test_a_comment_behind_a_path_may_be_a_part_of_it() -> None:
    settings = read_settings({"NIM_MODEL_PATH": "/models/x # the good one"})
    assert settings.model_path == "/models/x # the good one"
    assert settings.warnings == (
        "NIM_MODEL_PATH: '# the good one' is taken as a part of its value; a comment has a line of its own",
    )


def test_blank_is_not_a_value() -> None:
    assert read_settings({"NIM_SERVER_PORT": ""}) == Settings()


@pytest.mark.parametrize("text", ["", " ", "\n", "\t", '""', "''", ' ""\n'])
@pytest.mark.parametrize(
    "name", ["NIM_SERVER_PORT", "NIM_MAX_MODEL_LEN", "NIM_MODEL_PATH", "NIM_ROUTES", "NIM_X"]
)
def test_a_blank_value_is_none(name: str, text: str) -> None:
    assert read_settings({name: text}) == Settings()


@pytest.mark.parametrize(
    "name", ["NIM_SERVER_PORT", "NIM_MAX_MODEL_LEN", "NIM_MODEL_PATH", "NIM_CHAT_TEMPLATE"]
)
@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("$THEIRS", "$THEIRS"),
        ("/models/${THEIRS}", "${THEIRS}"),
        ("${THEIRS:-8000}", "${THEIRS:-8000}"),
        ("$(THEIRS)/x", "$(THEIRS)"),
        ("{{ .Values.theirs }}", "{{ .Values.theirs }}"),
    ],
)
def test_a_reference_that_nothing_has_replaced_is_refused(name: str, text: str, left: str) -> None:
    with pytest.raises(SettingsError, match="nothing replaces") as refused:
        read_settings({name: text})
    assert refused.value.message == (
        f"cannot use {name} '{text}' (from the environment): nothing replaces {left} here"
    )


@pytest.mark.parametrize("text", ["~", "~/cache", "~user/cache"])
def test_a_home_directory_is_for_shells(text: str) -> None:
    with pytest.raises(SettingsError, match=f"cannot use NIM_CACHE_PATH '{text}'"):
        read_settings({"NIM_CACHE_PATH": text})
