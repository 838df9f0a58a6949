"""Incompatible options are refused before the start, with what to type."""

import shlex
from collections.abc import Mapping

import pytest

from nim.engine import load_options, parse_arguments
from nim.errors import SettingsError
from nim.options.option_layers import Entry, entries
from nim.options.resolve_layers import resolve
from nim.options.rules.check_option_combinations import RULES, check_combinations
from nim.options.rules.model_option_rules import MODEL
from nim.options.rules.rule_types import Said
from nim.options.settings_layer import settings_entries
from nim.settings import read_settings
from nim.value_origins import Layer
from tests.unit.options.combination_cases import CASES, Case

TABLE = load_options()
PLACE = "NIM_PASSTHROUGH_ARGS"


def checked(
    line: str = "",
    environ: Mapping[str, str] | None = None,
    *,
    strict: bool = True,
    experts: int | None = None,
) -> tuple[str, ...]:
    """Return the warnings of a start with this line and these variables."""
    parsed = parse_arguments(shlex.split(line), TABLE, place=PLACE)
    layered: list[Entry] = list(settings_entries(read_settings(environ or {}), TABLE).entries)
    layered += entries(Layer.PASSTHROUGH, PLACE, parsed.values)
    said = Said(config=resolve(layered), table=TABLE, experts=experts)
    return check_combinations(said, strict=strict)


def refused(
    line: str = "", environ: Mapping[str, str] | None = None, *, experts: int | None = None
) -> SettingsError:
    with pytest.raises(SettingsError) as error:
        checked(line, environ, experts=experts)
    return error.value


@pytest.mark.parametrize("one", CASES, ids=lambda c: c.bad)
def test_what_the_engine_refuses_is_refused_with_what_to_type(one: Case) -> None:
    error = refused(one.bad, experts=one.experts)
    assert str(error).startswith("cannot use ")
    assert one.ours in str(error)
    assert one.hint in str(error)
    assert error.exit_code == 2


@pytest.mark.parametrize("one", CASES, ids=lambda c: c.good)
def test_what_it_takes_is_taken_without_a_word(one: Case) -> None:
    assert checked(one.good, experts=one.experts) == ()


@pytest.mark.parametrize("one", CASES[:8], ids=lambda c: c.bad)
def test_a_lenient_check_only_warns(one: Case) -> None:
    (warning,) = checked(one.bad, experts=one.experts, strict=False)
    assert one.ours in warning
    assert warning.endswith("the engine refuses it")


def test_every_rule_has_its_source_and_a_case() -> None:
    lines = [(parse_arguments(shlex.split(one.bad), TABLE, place=PLACE).values, one.experts) for one in CASES]
    configs = [(resolve(entries(Layer.PASSTHROUGH, PLACE, values)), experts) for values, experts in lines]
    all_said = [Said(config=config, table=TABLE, experts=experts) for config, experts in configs]
    # Rules on the model have their cases where a model is at hand: tests/oracle/start_cases.py.
    general = [rule for rule in RULES if rule not in MODEL]
    without = [rule.source for rule in general if not any(rule.find(said) for said in all_said)]
    assert all(".py" in rule.source for rule in RULES)
    # An adapter without --enable-lora is only found out when it is loaded.
    assert without == ["v1/worker/lora_model_runner_mixin.py, add_lora"]


def test_an_error_of_a_variable_names_the_variable_to_set() -> None:
    error = refused(environ={"NIM_ENABLE_AUTO_TOOL_CHOICE": "1"})
    assert error.message == (
        "cannot use --enable-auto-tool-choice (NIM_ENABLE_AUTO_TOOL_CHOICE): it needs --tool-call-parser"
    )
    assert error.hint == "NIM_TOOL_CALL_PARSER=NAME, as its model's card says"
    assert checked(environ={"NIM_ENABLE_AUTO_TOOL_CHOICE": "1", "NIM_TOOL_CALL_PARSER": "hermes"}) == ()


def test_limits_of_adapters_count_where_there_are_adapters() -> None:
    environ = {"NIM_MAX_GPU_LORAS": "4", "NIM_MAX_CPU_LORAS": "2"}
    assert checked(environ=environ) == ()
    error = refused("--enable-lora", environ)
    assert (
        "--max-loras 4 (NIM_MAX_GPU_LORAS): it is more than --max-cpu-loras 2 (NIM_MAX_CPU_LORAS)"
        in error.message
    )
    assert error.hint == "NIM_MAX_CPU_LORAS=4"


def test_adapters_need_lora() -> None:
    error = refused("--lora-modules a=/adapters/a")
    assert error.message == "cannot use --lora-modules (NIM_PASSTHROUGH_ARGS): it needs --enable-lora"
    assert error.hint == "--enable-lora"
    assert checked("--lora-modules a=/adapters/a --enable-lora") == ()


def test_experts_that_are_not_known_refuse_nothing() -> None:
    assert checked("--enable-expert-parallel") == ()
    assert checked("--enable-expert-parallel", experts=8) == ()
    assert checked("--data-parallel-size 2 --data-parallel-rank 0") == ()


def test_all_errors_are_reported_at_once() -> None:
    error = refused("--enable-log-outputs --max-model-len 0")
    assert "cannot use 2 arguments" in error.message
    assert "--enable-log-requests" in str(error)
    assert "--max-model-len auto" in str(error)


def test_one_port_for_each_rank_is_not_what_the_gateway_serves() -> None:
    error = refused(
        "--data-parallel-size 2 --data-parallel-size-local 2 --data-parallel-multi-port-external-lb"
    )
    assert "the gateway serves one engine on one port" in error.message


@pytest.mark.parametrize("length", ["auto", "-1"])
def test_a_context_that_the_engine_chooses_is_not_compared(length: str) -> None:
    assert checked(f"--max-model-len {length}") == ()
    assert checked(f"--max-model-len {length} --long-prefill-token-threshold 4096") == ()
