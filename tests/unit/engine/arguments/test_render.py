from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nim.engine.arguments.parser import parse_arguments
from nim.engine.arguments.render import option_tokens, render_arguments
from nim.engine.option_table import OptionTable, load_options
from nim.errors import SettingsError
from tests.unit.engine.strategies import sets_of_values, spoken, unhurried

PLACE = "NIM_PASSTHROUGH_ARGS"
TABLE = load_options()


@unhurried
@given(sets_of_values(TABLE))
def test_reading_undoes_rendering(values: dict[str, Any]) -> None:
    tokens = render_arguments(values, TABLE)
    parsed = parse_arguments(tokens, TABLE, place=PLACE)
    assert parsed.values == values
    assert list(parsed.values) == list(values)
    assert parsed.model_tag is None
    assert parsed.rest == ()
    assert render_arguments(parsed.values, TABLE) == tokens


@unhurried
@given(sets_of_values(TABLE), st.data())
def test_every_spelling_reads_alike(values: dict[str, Any], data: st.DataObject) -> None:
    tokens = [t for name, v in values.items() for t in data.draw(spoken(TABLE.options[name], v))]
    assert parse_arguments(tokens, TABLE, place=PLACE).values == values


@pytest.mark.parametrize(
    ("name", "value", "tokens"),
    [
        ("max_model_len", 8192, ("--max-model-len", "8192")),
        ("max-model-len", "8k", ("--max-model-len", "8000")),
        ("max_model_len", "auto", ("--max-model-len=-1",)),
        ("gpu_memory_utilization", 0.9, ("--gpu-memory-utilization", "0.9")),
        ("gpu_memory_utilization", 1, ("--gpu-memory-utilization", "1.0")),
        ("max_num_seqs", 64.0, ("--max-num-seqs", "64")),
        ("enforce_eager", True, ("--enforce-eager",)),
        ("enforce_eager", False, ("--no-enforce-eager",)),
        ("enforce_eager", None, ()),
        ("disable_log_stats", True, ("--disable-log-stats",)),
        ("disable_log_stats", False, ()),
        ("quantization", None, ()),
        ("prefix_cache_retention_interval", None, ("--prefix-cache-retention-interval", "None")),
        (
            "speculative_config",
            {"method": "mtp", "num_speculative_tokens": 2},
            ("--speculative-config", '{"method":"mtp","num_speculative_tokens":2}'),
        ),
        (
            "default_chat_template_kwargs",
            {"a": "é 🚀\n"},
            ("--default-chat-template-kwargs", '{"a":"é 🚀\\n"}'),
        ),
        ("allowed_origins", ["*"], ("--allowed-origins", '["*"]')),
        ("served_model_name", ["a", "b c"], ("--served-model-name", "a", "b c")),
        ("served_model_name", "a", ("--served-model-name", "a")),
        ("cudagraph_capture_sizes", [1, -2], ("--cudagraph-capture-sizes", "1", "-2")),
        ("offload_params", [], ()),
        ("middleware", ["a", "b"], ("--middleware", "a", "--middleware", "b")),
        ("device_ids", [0, "GPU-1"], ("--device-ids", "0,GPU-1")),
        ("hf_token", True, ("--hf-token",)),
        ("hf_token", "x", ("--hf-token", "x")),
        ("chat_template", "--- {{ x }}", ("--chat-template=--- {{ x }}",)),
        ("optimization_level", 3, ("--optimization-level", "3")),
        ("lora_modules", [{"name": "a", "path": "/b"}], ("--lora-modules", '{"name":"a","path":"/b"}')),
    ],
)
def test_tokens(table: OptionTable, name: str, value: Any, tokens: tuple[str, ...]) -> None:
    assert render_arguments({name: value}, table) == tokens
    option = table.named(name)
    assert option is not None
    assert option_tokens(option, value) == tokens


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("max_modle_len", 1, "no such option"),
        ("max_num_seqs", 1.5, '"1.5" is not a whole number'),
        ("max_num_seqs", True, "true is not a whole number"),
        ("max_num_seqs", {"a": 1}, "is not a whole number"),
        ("max_num_seqs", [1], "is not a whole number"),
        ("enforce_eager", "true", "is not a yes or no"),
        ("hf_token", False, "false is not a string"),
        ("kv_cache_dtype", "fp3", "not among its choices"),
        ("speculative_config", [1], "is not a JSON object"),
        ("speculative_config", 1, "is not a JSON object"),
        ("speculative_config", {"methdo": "mtp"}, 'no key "methdo"'),
        ("override_generation_config", {"a": float("nan")}, "JSON cannot say it"),
        ("gpu_memory_utilization", float("inf"), "is not a number"),
        ("chat_template", "--", "ends the options"),
        ("chat_template", "a\0", "zero byte"),
        ("served_model_name", ["a", "-b"], "begins with a dash"),
        ("ignore_patterns", [], "empty list"),
    ],
)
def test_what_cannot_be_said(table: OptionTable, name: str, value: Any, problem: str) -> None:
    with pytest.raises(SettingsError) as error:
        render_arguments({name: value}, table)
    assert problem in error.value.message
    assert name in error.value.message
