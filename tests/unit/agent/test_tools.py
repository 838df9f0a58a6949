"""Functions as tools: their schema, and the built-in calculator."""

import pytest

from nim.agent.functions.built_in_functions import BUILT_IN
from nim.agent.functions.tool import tool_of


def weather(location: str, days: int = 1) -> str:
    """Tell the weather."""
    return f"{location}: sun for {days} days"


async def test_a_function_is_described_by_its_annotations() -> None:
    tool = tool_of("get_weather", weather)
    assert tool.definition["function"] == {
        "name": "get_weather",
        "description": "Tell the weather.",
        "parameters": {
            "type": "object",
            "properties": {"location": {"type": "string"}, "days": {"type": "integer", "default": 1}},
            "required": ["location"],
        },
    }
    assert await tool.call({"location": "Rome", "days": "3", "more": 1}) == "Rome: sun for 3 days"


@pytest.mark.parametrize(
    ("name", "text", "result"),
    [
        ("calculator_add", "4 + 4", "The sum of 4 and 4 is 8"),
        ("calculator_add", "1, 2.5 and -3", "The sum of 1 and 2.5 and -3 is 0.5"),
        ("calculator_add", "1,000 + 2", "The sum of 1000 and 2 is 1002"),
        ("calculator_add", "1,234,567.5, 1 and .5", "The sum of 1234567.5 and 1 and 0.5 is 1234569"),
        ("calculator_add", "1,2.5,3", "The sum of 1 and 2.5 and 3 is 6.5"),
        ("calculator_add", "1e5 + 2", "The sum of 100000 and 2 is 100002"),
        ("calculator_add", "2.5E-1 + -1e+1", "The sum of 0.25 and -10 is -9.75"),
        ("calculator_add", "4 + 4 - 2", "The sum of 4 and 4 and -2 is 6"),
        ("calculator_subtract", "9-4", "The difference of 9 and 4 is 5"),
        ("calculator_subtract", "9 -4", "The difference of 9 and 4 is 5"),
        ("calculator_subtract", "-9 - -4", "The difference of -9 and -4 is -5"),
        ("calculator_multiply", "3 * -2", "The product of 3 and -2 is -6"),
        ("calculator_multiply", "4 * 4", "The product of 4 and 4 is 16"),
        ("calculator_divide", "1 / 8", "The quotient of 1 and 8 is 0.125"),
        ("calculator_inequality", "8 > 16", "The first number 8 is less than the second number 16"),
        ("calculator_inequality", "8 = 8.0", "The first number 8 is equal to the second number 8"),
    ],
)
def test_the_calculator_reads_numbers_in_a_text(name: str, text: str, result: str) -> None:
    assert BUILT_IN[name](text) == result


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("calculator_add", "four"),
        ("calculator_divide", "1 / 0"),
        ("calculator_divide", "1 2 3"),
        ("calculator_add", f"{'1' * 301} + 1"),
        ("calculator_add", "1e999 + 1"),
        ("calculator_multiply", "1e200 * 1e200"),
    ],
)
def test_what_cannot_be_computed_is_an_error(name: str, text: str) -> None:
    with pytest.raises(
        ValueError, match=r"expected two numbers|divide by zero|301 characters is too long|too large"
    ):
        BUILT_IN[name](text)
