"""Invalid values of the engine's variables are refused before the start."""

import pytest

from nim.engine import blank_variables, check_variable_values
from nim.engine.option_table import OptionTable
from nim.errors import SettingsError
from nim.value_origins import Layer, Origin, Value

NUMBER, SHARE, WORD = "VLLM_HTTP_TIMEOUT_KEEP_ALIVE", "VLLM_LOG_STATS_INTERVAL", "VLLM_KV_CACHE_LAYOUT"
SWITCH, LIST = "VLLM_USE_DEEP_GEMM", "VLLM_GPT_OSS_SYSTEM_TOOL_MCP_LABELS"


def config(values: dict[str, str], origin: Origin | None = None) -> dict[str, Value]:
    return {
        name: Value(value=value, origin=origin or Origin(layer=Layer.ENV, place=name))
        for name, value in values.items()
    }


@pytest.mark.parametrize(
    ("name", "text", "why", "hint"),
    [
        (SWITCH, "true", "it is not a whole number", "VLLM_USE_DEEP_GEMM=1"),
        (SWITCH, "False", "it is not a whole number", "VLLM_USE_DEEP_GEMM=0"),
        (SWITCH, "'1'", "it is not a whole number", "VLLM_USE_DEEP_GEMM=1"),
        (SWITCH, '"on"', "it is not a whole number", "VLLM_USE_DEEP_GEMM=1"),
        (NUMBER, "60s", "it is not a whole number", None),
        (NUMBER, "1.5", "it is not a whole number", None),
        (SHARE, "10s", "it is not a number", None),
        (WORD, "nhd", '"nhd" is not among its choices', "VLLM_KV_CACHE_LAYOUT=NHD"),
        (WORD, "'NHD'", "\"'NHD'\" is not among its choices", "VLLM_KV_CACHE_LAYOUT=NHD"),
        (LIST, "container,brwoser", '"brwoser" is not among its choices', None),
    ],
)
def test_what_the_engine_would_refuse(
    table: OptionTable, name: str, text: str, why: str, hint: str | None
) -> None:
    with pytest.raises(SettingsError) as caught:
        check_variable_values(config({name: text}), table)
    assert caught.value.message == f'cannot use {name} "{text}" (from the environment): {why}'
    assert (hint or "") in (caught.value.hint or "")
    (warning,) = check_variable_values(config({name: text}), table, strict=False)
    assert warning.startswith(caught.value.message)
    assert warning.endswith("; the engine refuses it")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *((SWITCH, text) for text in ("1", "0", " 1 ")),
        *((NUMBER, text) for text in ("60", "-1", "1_000")),
        *((SHARE, text) for text in ("10", "1.5", "1e3")),
        *((WORD, text) for text in ("NHD", "HND")),
        *((LIST, text) for text in ("container", " container , web_search_preview", "")),
        ("VLLM_LOGGING_LEVEL", "anything"),
        ("OTHER", "true"),
    ],
)
def test_what_it_takes(table: OptionTable, name: str, text: str) -> None:
    assert check_variable_values(config({name: text}), table) == ()


def test_a_profile_is_named_where_it_says_so(table: OptionTable) -> None:
    said = config({SWITCH: "true"}, Origin(layer=Layer.PROFILE, place="profile x"))
    with pytest.raises(SettingsError, match=r'cannot use VLLM_USE_DEEP_GEMM "true" \(from profile x\)'):
        check_variable_values(said, table)


def test_all_are_named_at_once(table: OptionTable) -> None:
    with pytest.raises(SettingsError, match="cannot use 2 arguments") as caught:
        check_variable_values(config({SWITCH: "true", WORD: "x"}), table)
    assert SWITCH in caught.value.message
    assert WORD in caught.value.message


def test_blank_ones_count_as_unset_where_the_engine_would_refuse_them(table: OptionTable) -> None:
    environ = {SWITCH: "", WORD: " ", NUMBER: "1", "VLLM_PLUGINS": "", "VLLM_API_KEY": "", "OTHER": ""}
    assert blank_variables(environ, table) == (WORD, SWITCH)
