"""Numbers and names as the engine reads them from text. All readers raise MisfitError."""

import math
import re
from collections.abc import Sequence

_FACTORS = {letter: 1000**power for power, letter in enumerate("kmgt", start=1)}
_FACTORS |= {letter.upper(): 1024**power for power, letter in enumerate("kmgt", start=1)}
_HUMAN = re.compile(r"(\d+(?:\.\d+)?)([kKmMgGtT])")
_THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+")
_COMMA = re.compile(r"\d+,\d+")
_PLAIN = re.compile(r"-?\d+(\.\d+)?")


class MisfitError(ValueError):
    """A value that the option does not take: the reason, the accepted values, and what to write."""

    def __init__(self, reason: str, *, allowed: Sequence[str] = (), write: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.allowed = tuple(allowed)
        self.write = write


def integer(text: str) -> int:
    """Return the text as an int; MisfitError for any other notation, such as 1.8e+06."""
    try:
        return int(text)
    except ValueError:
        pass
    raise MisfitError(f'"{text}" is not a whole number', write=_whole(text) or _whole(_bare(text)))


def human_integer(text: str) -> int:
    """Return the text as an int, 8k as 8000 and 8K as 8192; MisfitError for other text."""
    stripped = text.strip()
    match = _HUMAN.fullmatch(stripped)
    if not match:
        return integer(stripped)
    digits, letter = match.groups()
    factor: int = _FACTORS[letter]
    if letter.islower():
        product = float(digits) * factor
        return int(product) if math.isfinite(product) else integer(stripped)
    if "." in digits:
        raise MisfitError(
            f'"{text}" has a fraction, which the binary {letter} does not take', write=digits + letter.lower()
        )
    return integer(digits) * factor


def auto_integer(text: str) -> int:
    """Return the text as an int with suffix k, K, m …, and `auto` as -1; MisfitError for other text."""
    return -1 if text.strip().lower() in ("-1", "auto") else human_integer(text)


def number(text: str) -> float:
    """Return the text as a finite float; MisfitError for other text, NaN and infinity."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise MisfitError(f'"{text}" is not a number', write=_decimal(text))
    return found


def folded(text: str) -> str:
    """Return the text in lower case with dashes replaced by underscores."""
    return text.lower().replace("-", "_")


def comma_list(text: str) -> list[int | str]:
    """Return the comma-separated parts of the text as a list: digits as int, others as string."""
    parts = [part.strip() for part in text.split(",")]
    return [int(part) if part.isdigit() else part for part in parts]


def _whole(text: str) -> str | None:
    """Return the whole number that 1.8e6 or 8k means, as text for a hint; None if it means none."""
    try:
        return str(human_integer(text)) if _HUMAN.fullmatch(text.strip()) else _integral(float(text))
    except (MisfitError, ValueError):
        return None


def _bare(text: str) -> str:
    """Return the text without surrounding quotes, blanks, = , ; and without thousands separators."""
    bare = text.strip(" \t\r\n\"'`“”‘’=;,")
    return bare.replace(",", "") if _THOUSANDS.fullmatch(bare) else bare


def _decimal(text: str) -> str | None:
    """Return the decimal number that 0,9 or 90% or a quoted 0.9 means, as text for a hint; None if none."""
    bare = _bare(text)
    if _COMMA.fullmatch(bare):
        return bare.replace(",", ".")
    share = bare.removesuffix("%").strip()
    if share != bare and share.isascii() and share.isdigit():
        return f"{int(share) / 100:g}"
    return bare if bare != text and _PLAIN.fullmatch(bare) else None


def _integral(number: float) -> str | None:
    """Return a float that is a whole number as text without a point; None for other floats."""
    return str(int(number)) if math.isfinite(number) and number.is_integer() else None
