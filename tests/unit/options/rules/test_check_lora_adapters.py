"""Adapters against the limits and names of a start."""

from typing import Any

import pytest

from nim.engine import load_options
from nim.errors import SettingsError
from nim.models.read_lora_adapters import Adapter
from nim.options.option_layers import entries
from nim.options.resolve_layers import resolve
from nim.options.rules.check_lora_adapters import check_adapters
from nim.options.rules.rule_types import Said
from nim.value_origins import Layer

TABLE = load_options()


def said(**options: Any) -> Said:
    values = {"lora_modules": ["sql=/a"], "enable_lora": True, "served_model_name": ["llama"]}
    layered = [*entries(Layer.PASSTHROUGH, "NIM_PASSTHROUGH_ARGS", values)]
    layered += entries(Layer.ENV, "NIM_MAX_LORA_RANK", options)
    return Said(config=resolve(layered), table=TABLE)


def refused(adapter: Adapter, **options: Any) -> SettingsError:
    with pytest.raises(SettingsError) as error:
        check_adapters(said(**options), [adapter], ())
    return error.value


def test_a_rank_above_the_engine_s_default() -> None:
    error = refused(Adapter(name="sql", path="/a", rank=64))
    assert error.message == (
        "cannot use the adapter sql '/a' (NIM_PASSTHROUGH_ARGS): its rank 64 is above --max-lora-rank 16 "
        "(the engine's default)"
    )
    assert error.hint == "--max-lora-rank 64"


@pytest.mark.parametrize(("rank", "enough"), [(17, 32), (33, 64), (65, 128), (300, 320), (512, 512)])
def test_the_smallest_limit_that_is_enough(rank: int, enough: int) -> None:
    assert refused(Adapter(name="sql", path="/a", rank=rank)).hint == f"--max-lora-rank {enough}"


def test_a_limit_of_a_variable_is_raised_by_the_variable() -> None:
    error = refused(Adapter(name="sql", path="/a", rank=64), max_lora_rank=32)
    assert "above --max-lora-rank 32 (NIM_MAX_LORA_RANK)" in error.message
    assert error.hint == "NIM_MAX_LORA_RANK=64"


def test_no_limit_is_that_large() -> None:
    assert refused(Adapter(name="sql", path="/a", rank=1024)).hint == "an adapter of a smaller rank"


@pytest.mark.parametrize("rank", [None, 1, 16])
def test_a_rank_within_the_limit_or_unknown_is_taken(rank: int | None) -> None:
    assert check_adapters(said(), [Adapter(name="sql", path="/a", rank=rank)], ()) == ()


def test_what_is_wrong_with_it_is_said_beside_its_rank() -> None:
    error = refused(Adapter(name="sql", path="/a", rank=64, fault="it is a DoRA"))
    assert "its rank 64 is above" in error.message
    assert "it is a DoRA" in error.message
    assert "there is no such directory" in refused(Adapter(name="sql", path="/a", is_missing=True)).message


def test_a_name_selects_exactly_one_profile() -> None:
    assert (
        "cannot call the adapter '/a' \"llama\": the name is taken"
        in refused(Adapter(name="llama", path="/a")).message
    )
    twice = [Adapter(name="sql", path="/a"), Adapter(name="sql", path="/b")]
    with pytest.raises(SettingsError, match="'/b' \"sql\""):
        check_adapters(said(), twice, ())


def test_a_lenient_check_only_warns() -> None:
    (warning,) = check_adapters(said(), [Adapter(name="sql", path="/a", rank=64)], (), strict=False)
    assert "its rank 64 is above" in warning


@pytest.mark.parametrize(
    ("base", "served", "warned"),
    [
        ("meta-llama/Llama-3.1-8B", ("meta-llama/Llama-3.1-8B",), False),
        ("meta-llama/Llama-3.1-8B", ("unsloth/llama-3.1-8b", "x"), False),
        ("/train/Llama-3.1-8B/", ("org/Llama-3.1-8B",), False),
        ("Qwen/Qwen3-8B", ("meta-llama/Llama-3.1-8B",), True),
        ("Qwen/Qwen3-8B", (), False),
        (None, ("meta-llama/Llama-3.1-8B",), False),
    ],
)
def test_another_base_is_warned_of(base: str | None, served: tuple[str, ...], warned: bool) -> None:
    warnings = check_adapters(said(), [Adapter(name="sql", path="/a", base=base)], served)
    assert len(warnings) == warned
    assert not warned or f"trained on {base}, not on {served[0]}" in warnings[0]
