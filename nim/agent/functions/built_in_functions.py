"""The built-in functions: a calculator that takes its numbers from a text, and the time."""

import math
import re
from collections.abc import Callable
from datetime import datetime
from functools import reduce

# Digits with commas between them are one number, 1,000, or several, 1,2.
_NUMBERS = re.compile(r"(?<![\w.])-?(?:\d+(?:,\d+)*(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?")
_GROUPED = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:[.eE].*)?")
_MINUS = re.compile(r"(?<=\d)\s*-\s*(?=[\d.])")
MOST_CHARACTERS = 300


def calculator_add(text: str) -> str:
    """Add all numbers in a text such as "4 + 4"."""
    values = _numbers(_MINUS.sub(" -", text))
    return f"The sum of {_listed(values)} is {_shown(math.fsum(values))}"


def calculator_subtract(text: str) -> str:
    """Subtract the second of the two numbers in a text from the first, such as in "9 - 4"."""
    first, second = _two(_MINUS.sub(" - ", text))
    return f"The difference of {_listed((first, second))} is {_shown(first - second)}"


def calculator_multiply(text: str) -> str:
    """Multiply all numbers in a text such as "4 * 4"."""
    values = _numbers(text)
    return f"The product of {_listed(values)} is {_shown(reduce(lambda a, b: a * b, values))}"


def calculator_divide(text: str) -> str:
    """Divide the first of the two numbers in a text by the second, such as in "8 / 2"."""
    first, second = _two(text)
    if second == 0:
        raise ValueError("cannot divide by zero")
    return f"The quotient of {_listed((first, second))} is {_shown(first / second)}"


def calculator_inequality(text: str) -> str:
    """Tell which of the two numbers in a text is greater, such as in "8 > 16"."""
    first, second = _two(text)
    word = "greater than" if first > second else "less than" if first < second else "equal to"
    return f"The first number {_shown(first)} is {word} the second number {_shown(second)}"


def current_datetime() -> str:
    """Tell the current date and time."""
    return f"The current time of day is {datetime.now().astimezone():%Y-%m-%d %H:%M:%S}"


BUILT_IN: dict[str, Callable[..., str]] = {
    function.__name__: function
    for function in (
        calculator_add,
        calculator_subtract,
        calculator_multiply,
        calculator_divide,
        calculator_inequality,
        current_datetime,
    )
}


def _numbers(text: str) -> tuple[float, ...]:
    """Return the numbers in a text; ValueError for fewer than two, or one that is too long or too large.

    A minus between two digits is none of a number.
    """
    found = _NUMBERS.findall(re.sub(r"(?<=\d)-(?=\d)", " - ", text))
    numbers = [one for run in found for one in _apart(run)]
    if longest := max((len(one) for one in numbers if len(one) > MOST_CHARACTERS), default=0):
        raise ValueError(f"a number of {longest} characters is too long: at most {MOST_CHARACTERS}")
    if len(numbers) < 2:
        raise ValueError(f"expected two numbers, found {len(numbers)}")
    return tuple(float(one) for one in numbers)


def _apart(run: str) -> list[str]:
    """Return the numbers in digits with commas between them: groups of three are one number."""
    return [run.replace(",", "")] if _GROUPED.fullmatch(run) else run.split(",")


def _two(text: str) -> tuple[float, float]:
    """Return the two numbers in a text; ValueError for another count."""
    values = _numbers(text)
    if len(values) != 2:
        raise ValueError(f"expected two numbers, found {len(values)}")
    return values[0], values[1]


def _shown(value: float) -> str:
    """Return a number as people write it: 8, not 8.0; ValueError for one that has no such form."""
    if not math.isfinite(value):
        raise ValueError("a number or the result is too large")
    return f"{value:.15g}"


def _listed(values: tuple[float, ...]) -> str:
    return " and ".join(map(_shown, values))
