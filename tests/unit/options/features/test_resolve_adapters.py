"""NIM_PEFT_SOURCE: engine options, and what it cannot go with."""

import json
import re
from dataclasses import asdict
from typing import Any

import pytest

from nim.engine import load_options
from nim.errors import SettingsError
from nim.options.features.resolve_adapters import adapter_entries, decide_adapters
from nim.options.option_layers import entries
from nim.options.resolve_layers import resolve
from nim.plan import AdapterPlan
from nim.settings import read_settings
from nim.value_origins import Layer

TABLE = load_options()


def decided(environ: dict[str, str], **options: Any) -> tuple[AdapterPlan | None, tuple[str, ...]]:
    settings = read_settings(environ)
    own = [*adapter_entries(settings), *entries(Layer.CLI, "the command line", options)]
    return decide_adapters(settings, resolve(own), TABLE, ("org/model",), "/cache")


def test_a_source_switches_on_what_it_needs() -> None:
    values = {entry.name: entry.value for entry in adapter_entries(read_settings({"NIM_PEFT_SOURCE": "/a"}))}
    expected = {"enable_lora": True, "api_server_count": 1, "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"}
    assert values == expected
    assert not [*adapter_entries(read_settings({}))]


def test_the_plan_has_all_that_the_loader_needs() -> None:
    environ = {"NIM_PEFT_SOURCE": "/a", "NIM_PEFT_REFRESH_INTERVAL": "2m", "NIM_PEFT_API_TIMEOUT_SECS": "90"}
    plan, warnings = decided(environ, served_model_name=["nim"])
    assert not warnings
    assert plan == AdapterPlan(
        source="/a",
        refresh_seconds=120.0,
        api_timeout_seconds=90,
        max_rank=16,
        base_names=("org/model", "nim"),
        name="a",
    )
    raised, _ = decided({"NIM_PEFT_SOURCE": "/a"}, max_lora_rank=64)
    assert raised is not None
    assert (raised.max_rank, raised.refresh_seconds, raised.api_timeout_seconds) == (64, 0.0, 60)


def test_the_other_variables_alone_do_nothing_and_say_so() -> None:
    plan, [warning] = decided({"NIM_PEFT_REFRESH_INTERVAL": "30"})
    assert plan is None
    assert warning == "NIM_PEFT_REFRESH_INTERVAL does nothing: NIM_PEFT_SOURCE is not set"
    assert decided({}) == (None, ())


@pytest.mark.parametrize(
    "options", [{"enable_lora": False}, {"api_server_count": 4}, {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "0"}]
)
def test_options_that_forbid_adapters_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=f"NIM_PEFT_SOURCE '/a' .* with {next(iter(options))}") as refused:
        decided({"NIM_PEFT_SOURCE": "/a"}, **options)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("source", "uri", "name"),
    [
        ("hf://org/pirate:v1", "hf://org/pirate:v1", "pirate"),
        ("s3://bucket/some/adapters/", "s3://bucket/some/adapters", "adapters"),
        ("az://container", "az://container", "container"),
        ("https://host/x/adapters", "https://host/x/adapters", "adapters"),
    ],
)
def test_a_source_elsewhere_is_fetched_into_the_cache(source: str, uri: str, name: str) -> None:
    plan, _ = decided({"NIM_PEFT_SOURCE": source, "NIM_PEFT_REFRESH_INTERVAL": "30"})
    assert plan is not None
    assert plan.remote is not None
    assert (plan.remote.uri, plan.remote.adapters, plan.name) == (uri, True, name)
    assert plan.source == f"{plan.remote.directory}/current"
    assert plan.source.startswith("/cache/sources/")
    assert plan.is_refreshed
    assert AdapterPlan(**json.loads(json.dumps(asdict(plan)))).name == name


@pytest.mark.parametrize("source", ["ftp://host/adapters", "hf://org", "s3://", "https://host?x=1"])
def test_an_address_of_no_known_form_is_refused(source: str) -> None:
    with pytest.raises(SettingsError, match=f"NIM_PEFT_SOURCE '{re.escape(source)}'"):
        decided({"NIM_PEFT_SOURCE": source})
