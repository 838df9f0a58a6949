"""A variable that sets an engine option is accepted and refused exactly as the flag is."""

import pytest

from nim.engine import load_options, parse_arguments
from nim.engine.arguments.read_numbers_and_names import MisfitError
from nim.engine.arguments.read_option_values import read_text
from nim.engine.option_table import Count, Option
from nim.errors import SettingsError
from nim.options.option_layers import Layered
from nim.options.settings_layer import settings_entries
from nim.settings import declared, read_settings

TABLE = load_options()
VALUED = {
    name: TABLE.options[setting.option]
    for setting in declared().values()
    if setting.option and TABLE.options[setting.option].count is not Count.NONE
    for name in setting.names
}
# What people write into numbers, words, paths and lists.
TEXTS = [
    *(
        "0",
        "1",
        "-1",
        "2",
        "16",
        "48",
        "64",
        "513",
        "8192",
        "8k",
        "8K",
        "1.5K",
        "auto",
        "1e3",
        "0.5",
        "1",
        "80",
    ),
    *("1.5", "101", "nan", "inf", "None", "many", "fp8", "fp9", "FP8", "llama3", "llama3_json", "hermes"),
    *("/models/x.jinja", "{{ messages }}", "a b", "٨", "--max-model-len", "{", "8_192", "0x10"),
]


def by_flag(option: Option, text: str) -> object:
    """Return what the flag's reader makes of the text, or what it says against it."""
    try:
        reading = read_text(option, text)
    except MisfitError as why:
        return why.reason, why.allowed
    return reading.value, reading.note


def by_variable(name: str, option: Option, text: str) -> object:
    """Return the same by the variable."""
    settings = read_settings({name: text})
    assert settings.warnings in ((), (f"{name} is an older name: use {settings_name(name)}",))
    try:
        layer = settings_entries(settings, TABLE)
    except SettingsError as error:
        refused = error
    else:
        return taken(name, option, text, layer)
    assert refused.message.startswith(f"cannot use {name} '{text}' (from the environment): ")
    assert refused.exit_code == 2
    return refused.message.partition(" (from the environment): ")[2], refused.allowed


def taken(name: str, option: Option, text: str, layer: Layered) -> object:
    (entry,) = layer.entries
    assert (entry.name, entry.origin.place) == (option.name, name)
    note = layer.warnings[0].removeprefix(f"{name} '{text}': ") if layer.warnings else None
    return entry.value, note


def settings_name(name: str) -> str:
    return next(setting.name for setting in declared().values() if name in setting.names)


@pytest.mark.parametrize(
    "name",
    [name for name, option in VALUED.items() if option.count is Count.ONE and option.kind != "JSON array"],
)
def test_each_value_fares_as_with_its_flag(name: str) -> None:
    option = VALUED[name]
    for text in TEXTS:
        assert by_variable(name, option, text) == by_flag(option, text), text


def test_every_setting_of_an_option_is_compared() -> None:
    some = {"NIM_MAX_MODEL_LEN", "NIM_KVCACHE_PERCENT", "NIM_TOOL_CALL_PARSER", "NIM_MAX_LORA_RANK"}
    assert some <= set(VALUED)
    left = [s.option for s in declared().values() if s.option and s.name not in VALUED]
    assert all(TABLE.options[name].kind in ("boolean", "flag") for name in left)


@pytest.mark.parametrize(
    "name", [s.name for s in declared().values() if s.option and s.name not in VALUED], ids=str
)
@pytest.mark.parametrize(("text", "value"), [("1", True), ("true", True), ("0", False), ("off", False)])
def test_a_switch_is_its_flag_or_its_negative(name: str, text: str, value: bool) -> None:
    (entry,) = settings_entries(read_settings({name: text}), TABLE).entries
    option = TABLE.options[entry.name]
    assert entry.value is value
    flags = [option.flag] if value else list(option.negatives[:1])
    assert not flags or parse_arguments(flags, TABLE, place="a line").values == {option.name: value}


@pytest.mark.parametrize(
    ("name", "text", "option", "value"),
    [
        ("NIM_SERVED_MODEL_NAME", "a, b", "served_model_name", ["a", "b"]),
        ("NIM_CORS_ALLOW_ORIGINS", "https://a,https://b", "allowed_origins", ["https://a", "https://b"]),
        ("NIM_CORS_ALLOW_METHODS", '["GET", "POST"]', "allowed_methods", ["GET", "POST"]),
    ],
)
def test_lists_are_what_the_option_takes(name: str, text: str, option: str, value: list[str]) -> None:
    (entry,) = settings_entries(read_settings({name: text}), TABLE).entries
    assert (entry.name, entry.value) == (option, value)


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("NIM_MAX_LORA_RANK", "48", "NIM_MAX_LORA_RANK=64"),
        ("NIM_KVCACHE_PERCENT", "90", "NIM_KVCACHE_PERCENT=0.9"),
        ("NIM_GPU_MEM_FRACTION", "85", "NIM_GPU_MEM_FRACTION=0.85"),
        ("NIM_MAX_BATCH_SIZE", "1e2", "NIM_MAX_BATCH_SIZE=100"),
        ("NIM_KV_CACHE_DTYPE", "nvpf4", "NIM_KV_CACHE_DTYPE=nvfp4"),
        ("NIM_TENSOR_PARALLEL_SIZE", "two", "nim settings NIM_TENSOR_PARALLEL_SIZE"),
    ],
)
def test_a_refusal_says_what_to_write_into_the_variable(name: str, text: str, hint: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings_entries(read_settings({name: text}), TABLE)
    assert refused.value.hint == hint


def test_every_variable_that_is_wrong_is_named_at_once() -> None:
    settings = read_settings({"NIM_MAX_LORA_RANK": "48", "NIM_KVCACHE_PERCENT": "0"})
    with pytest.raises(SettingsError, match="cannot use 2 arguments from the environment") as refused:
        settings_entries(settings, TABLE)
    assert "NIM_MAX_LORA_RANK=64" in str(refused.value)
    assert "NIM_KVCACHE_PERCENT '0'" in str(refused.value)


def test_a_lenient_check_warns_and_passes_the_value_on() -> None:
    settings = read_settings({"NIM_MAX_LORA_RANK": "48", "NIM_MAX_GPU_LORAS": "2", "NIM_STRICT_ARGS": "0"})
    layer = settings_entries(settings, TABLE)
    assert [entry.name for entry in layer.entries] == ["max_loras"]
    assert layer.rest == ("--max-lora-rank", "48")
    assert "NIM_MAX_LORA_RANK '48'" in layer.warnings[0]
    assert layer.warnings[0].endswith("passed on as it is")
