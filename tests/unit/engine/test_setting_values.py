from typing import Any

import pytest

from nim.engine.setting_values import check_setting
from nim.engine.table import OptionTable
from nim.errors import SettingsError


@pytest.mark.parametrize(
    ("name", "value", "checked"),
    [
        ("max_lora_rank", 64, 64),
        ("kv_cache_dtype", "fp8", "fp8"),
        ("gpu_memory_utilization", 0.5, 0.5),
        ("enable_auto_tool_choice", True, True),
        ("served_model_name", ["a", "b"], ["a", "b"]),  # the launcher's own
        ("moe_backend", "FlashInfer-TRTLLM", "flashinfer_trtllm"),
    ],
)
def test_what_fits_is_taken(table: OptionTable, name: str, value: Any, checked: Any) -> None:
    found = check_setting(name, value, table, variable="NIM_X")
    assert (dict(found.values), found.warnings) == ({name: checked}, ())


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("max_lora_rank", 48, "NIM_X=64"),
        ("max_lora_rank", 1000, "NIM_X=512"),
        ("kv_cache_dtype", "fp8_e4m", "NIM_X=fp8_e4m3"),
    ],
)
def test_what_does_not_fit_names_the_variable(table: OptionTable, name: str, value: Any, hint: str) -> None:
    with pytest.raises(SettingsError) as error:
        check_setting(name, value, table, variable="NIM_X")
    assert error.value.message.startswith("cannot use NIM_X for --")
    assert error.value.hint == hint
    left_out = check_setting(name, value, table, variable="NIM_X", strict=False)
    assert not left_out.values
    assert left_out.warnings


def test_a_cache_type_of_a_later_release_is_named(table: OptionTable) -> None:
    with pytest.raises(SettingsError, match=r"does not have it yet \(0.33.0 does\)"):
        check_setting("kv_cache_dtype", "octave_k3v3", table, variable="NIM_KV_CACHE_DTYPE")
