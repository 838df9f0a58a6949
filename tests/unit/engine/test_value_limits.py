"""Limits of numbers, and the words that a key accepts."""

from typing import Any

import pytest

from nim.engine.arguments.read_numbers_and_names import MisfitError
from nim.engine.option_table import OptionTable
from nim.engine.value_limits import Limits, limits_from

SHARE = {"exclusiveMinimum": 0, "maximum": 1}


@pytest.mark.parametrize(
    ("row", "inside", "outside", "text"),
    [
        ({"minimum": 1}, [1, 2**40], [0, -1, 0.5], "1 or more"),
        ({"exclusiveMinimum": 0}, [0.1, 1], [0, -1], "above 0"),
        (SHARE, [1, 1.0, 0.01], [0, 1.01, 80], "above 0 and at most 1"),
        ({"minimum": 0.0, "exclusiveMaximum": 1.0}, [0, 0.99], [1, -0.1], "at least 0 and below 1"),
        ({"minimum": 1, "maximum": 65535}, [1, 65535], [0, 65536], "at least 1 and at most 65535"),
    ],
)
def test_a_number_is_within_its_range_or_refused(
    row: dict[str, float], inside: list[float], outside: list[float], text: str
) -> None:
    limits = limits_from(row)
    for value in inside:
        limits.check(value)
    for value in outside:
        with pytest.raises(MisfitError) as refused:
            limits.check(value)
        assert refused.value.allowed == (text,)
        assert f"{value:g}" in refused.value.reason


@pytest.mark.parametrize(("value", "meant"), [(80, "0.8"), (92.5, "0.925"), (101, None), (-5, None)])
def test_a_share_in_per_cent_is_suggested_as_a_fraction(value: float, meant: str | None) -> None:
    with pytest.raises(MisfitError) as refused:
        limits_from(SHARE).check(value)
    assert refused.value.write == meant


@pytest.mark.parametrize("value", [None, True, False, "x", [0], {"a": 0}])
def test_other_types_are_not_judged_by_a_range(value: Any) -> None:
    limits_from({"minimum": 5}).check(value)


def test_a_word_is_one_of_those_named() -> None:
    limits = Limits(enum=("auto", "xgrammar", 2))
    limits.check("xgrammar")
    limits.check(2)
    limits.check(None)
    with pytest.raises(MisfitError) as refused:
        limits.check("xgramar")
    assert refused.value.write == "xgrammar"
    assert refused.value.allowed == ("auto", "xgrammar", "2")


def test_the_table_has_limits_of_options_and_of_keys(table: OptionTable) -> None:
    assert table.options["gpu_memory_utilization"].limits == limits_from(SHARE)
    assert table.options["tensor_parallel_size"].limits == Limits(minimum=1)
    assert table.options["cpu_offload_gb"].limits == Limits(minimum=0)
    assert "mtp" in table.options["speculative_config"].key_limits["method"].enum
    backend = table.options["structured_outputs_config"].key_limits["backend"]
    assert backend.enum == ("auto", "xgrammar", "guidance", "outlines", "lm-format-enforcer")
    # The engine folds these before it compares them.
    assert "moe_backend" not in table.options["kernel_config"].key_limits
