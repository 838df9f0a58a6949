from typing import Any

import pytest

from nim.engine.option_table import OptionTable
from nim.engine.warn_environment_names import service_links, unread_variables, variable_warnings
from nim.value_origins import Layer, Origin, Value


def test_known_and_foreign_variables_pass(table: OptionTable) -> None:
    env = {
        "VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1",
        "VLLM_SSM_CONV_STATE_LAYOUT": "DS",
        "PATH": "/bin",
        "VLL": "x",
    }
    assert variable_warnings(env, table) == ()


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("VLLM_ALLOW_LONG_MAX_MODEL_LENGTH", "the nearest is VLLM_ALLOW_LONG_MAX_MODEL_LEN"),
        ("VLLM_USE_FLASHINFER_MOE_FP4", "no longer has it (last seen in 0.20.2); use --moe-backend"),
        ("VLLM_ATTENTION_BACKEND", "use --attention-backend"),
        ("VLLM_USE_V1", "no longer has it"),
        ("VLLM_", "does not know it"),
    ],
)
def test_unknown_ones_are_named_with_what_to_use(table: OptionTable, name: str, part: str) -> None:
    (warning,) = variable_warnings({name: "planted-secret"}, table)
    assert name in warning
    assert part in warning
    assert "planted" not in warning


@pytest.mark.parametrize("value", ['"DS"', "'DS'", ' "DS" '])
def test_quotes_that_were_kept_are_a_part_of_the_value(table: OptionTable, value: str) -> None:
    (warning,) = variable_warnings({"VLLM_SSM_CONV_STATE_LAYOUT": value}, table)
    assert warning.startswith("VLLM_SSM_CONV_STATE_LAYOUT: the quotes around its value")
    assert "DS" not in warning.removeprefix("VLLM_SSM_CONV_STATE_LAYOUT")


def test_what_kubernetes_sets_for_services_is_one_warning(table: OptionTable) -> None:
    env = {
        "VLLM_PORT": "tcp://10.0.0.1:80",
        "VLLM_SERVICE_HOST": "10.0.0.1",
        "VLLM_SERVICE_PORT": "80",
        "VLLM_SERVICE_PORT_HTTP": "80",
        "VLLM_PORT_80_TCP": "tcp://10.0.0.1:80",
        "VLLM_PORT_80_TCP_ADDR": "10.0.0.1",
        "VLLM_GATEWAY_PORT": "tcp://10.0.0.2:80",
        "VLLM_GATEWAY_SERVICE_HOST": "10.0.0.2",
    }
    assert service_links(env) == tuple(sorted(env))
    (warning,) = variable_warnings(env, table)
    assert "enableServiceLinks: false" in warning


def test_a_port_that_is_a_number_is_no_service_link() -> None:
    assert service_links({"VLLM_PORT": "8001", "OTHER_PORT": "tcp://x"}) == ()


def config(layer: Layer, **values: Any) -> dict[str, Value]:
    origin = Origin(layer=layer, place="profile p")
    return {name: Value(value=value, origin=origin) for name, value in values.items()}


OLD = {"VLLM_USE_FLASHINFER_MOE_FP4": "1", "VLLM_USE_FLASHINFER_MOE_FP8": "1"}


def test_a_profile_s_variables_without_effect_are_named_together(table: OptionTable) -> None:
    (warning,) = unread_variables(config(Layer.PROFILE, **OLD, VLLM_SSM_CONV_STATE_LAYOUT="DS"), table)
    assert warning.startswith(
        "VLLM_USE_FLASHINFER_MOE_FP4, VLLM_USE_FLASHINFER_MOE_FP8 from profile p: without"
    )
    assert "no longer has it (last seen in 0.20.2); use --moe-backend" in warning


def test_replacements_are_named(table: OptionTable) -> None:
    (warning,) = unread_variables(config(Layer.PROFILE, **OLD, moe_backend="flashinfer_trtllm"), table)
    assert "--moe-backend flashinfer_trtllm stands for it (last seen in 0.20.2)" in warning


def test_those_of_the_environment_are_checked_elsewhere(table: OptionTable) -> None:
    assert unread_variables(config(Layer.ENV, **OLD), table) == ()
