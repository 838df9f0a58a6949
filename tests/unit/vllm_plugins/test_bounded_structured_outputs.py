"""The size of structured outputs, measured as it is compared with the bound."""

from typing import Any

import pytest

pytest.importorskip("vllm")

from vllm.exceptions import VLLMValidationError
from vllm.sampling_params import StructuredOutputsParams

from nim.vllm_plugins.bounded_structured_outputs import (
    VARIABLE,
    BoundedStructuredOutputs,
    bounded,
    check_size,
    most_characters,
)


@pytest.mark.parametrize(("size", "most"), [("0", None), ("0k", None), ("7", 7), ("2k", 2048), ("1M", 2**20)])
def test_sizes(size: str, most: int | None) -> None:
    assert most_characters(size) == most


@pytest.mark.parametrize(
    ("wanted", "length", "said"),
    [
        ({"choice": ["ab", "cd"]}, 12, "choice has 12 characters (2 choices)"),
        ({"regex": "[a-z]+"}, 6, "regex has 6 characters"),
        ({"grammar": 'root ::= "a"'}, 12, "grammar has 12 characters"),
        ({"json": {"enum": ["ä"]}}, 15, "json has 15 characters"),
        ({"json": '{"enum": ["a"]}'}, 15, "json has 15 characters"),
        ({"structural_tag": "{}"}, 2, "structural_tag has 2 characters"),
    ],
)
def test_one_character_too_many_is_refused(wanted: Any, length: int, said: str) -> None:
    check_size(StructuredOutputsParams(**wanted), length)
    with pytest.raises(VLLMValidationError) as refused:
        check_size(StructuredOutputsParams(**wanted), length - 1)
    assert said in str(refused.value)
    assert f"at most {length - 1} (NIM_MAX_STRUCTURED_OUTPUT_SIZE)" in str(refused.value)


def test_any_json_object_has_no_size() -> None:
    check_size(StructuredOutputsParams(json_object=True), 0)


def test_what_vllm_checks_is_still_checked() -> None:
    wanted = StructuredOutputsParams(regex="abcd")
    seen: list[Any] = []
    bounded(seen.append, 4)(wanted)
    assert seen == [wanted]
    with pytest.raises(VLLMValidationError, match="regex has 4 characters"):
        bounded(seen.append, 3)(wanted)


def test_vllm_loads_it_once_and_its_application_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StructuredOutputsParams, "__post_init__", StructuredOutputsParams.__post_init__)
    monkeypatch.setenv(VARIABLE, "0")
    app = object()
    assert BoundedStructuredOutputs(app) is app
    assert StructuredOutputsParams(regex="a" * 5000).regex
    monkeypatch.setenv(VARIABLE, "4k")
    for _ in range(2):
        assert BoundedStructuredOutputs(app) is app
    assert StructuredOutputsParams(regex="a" * 4096).regex
    with pytest.raises(VLLMValidationError, match="at most 4096"):
        StructuredOutputsParams(regex="a" * 4097)
    with pytest.raises(VLLMValidationError, match="only use one kind"):
        StructuredOutputsParams(regex="a", grammar="b")
