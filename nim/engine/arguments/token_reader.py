"""One engine token by the rules of the engine's parser: an option with or without a value, or a value."""

import re

from nim.engine.option_table import OptionTable, dashed
from nim.frozen_dataclass import frozen_dataclass

_NEGATIVE_NUMBER = re.compile(r"-\d+|-\d*\.\d+")
_LEVEL = "--optimization-level"


@frozen_dataclass
class Word:
    """An option as written: `--flag`, the keys in `--flag.key.key`, and the text after `=`."""

    said: str
    flag: str
    keys: tuple[str, ...] = ()
    adds: bool = False  # `--flag.key+`: elements for a list
    inline: str | None = None


def is_value(token: str) -> bool:
    """Return True if the token is a value, not an option: no dash, only `-`, a number, or with a blank."""
    if not token.startswith("-") or len(token) == 1 or _NEGATIVE_NUMBER.fullmatch(token):
        return True
    return " " in token.partition("=")[0]


def read_word(token: str, table: OptionTable) -> Word:
    """Return the Word (flag, keys, inline value) in a token that begins with a dash."""
    said, equals, after = token.partition("=")
    inline = after if equals else None
    if said.startswith("-O"):
        return _level(token)
    if "." in said:
        return _keyed(said, inline)
    if table.find(said) is None and (short := _attached(said, table)):
        return Word(said=said, flag=short, inline=token[2:])
    return Word(said=said, flag=dashed(said), inline=inline)


def _level(token: str) -> Word:
    """Return the Word for the optimization level in -O3, -O=3 or -O."""
    attached = token[2:]
    return Word(said="-O", flag=_LEVEL, inline=attached.removeprefix("=") if attached else None)


def _keyed(said: str, inline: str | None) -> Word:
    """Return the Word for `--flag.key.key`; a trailing + on the last key sets `adds`."""
    path = said.removesuffix("+")
    flag, *keys = path.split(".")
    return Word(said=said, flag=dashed(flag), keys=tuple(keys), adds=path != said, inline=inline)


def _attached(said: str, table: OptionTable) -> str | None:
    """Return the flag -n if `said` is a short option with its value attached, as -n2; else None."""
    short = said[:2]
    return short if not said.startswith("--") and len(said) > len(short) and table.find(short) else None
