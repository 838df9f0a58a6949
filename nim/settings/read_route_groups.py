"""The value of `NIM_ROUTES`: a list of groups, or changes to the default groups."""

from collections.abc import Collection

from nim.errors import nearest
from nim.routes import ALWAYS_OPEN, CAN_BE_OPENED, Group

OPEN, CLOSE = "+", "-"


def read_groups(text: str) -> tuple[str, ...]:
    """Return the words of NIM_ROUTES (groups, +group, -group) as a tuple; ValueError for unknown ones.

    `inference,docs` means exactly these; `+debug,-docs` the default with `debug` and without `docs`.
    ValueError says what is wrong.
    """
    words = tuple(_word(word.strip().lower()) for word in text.split(",") if word.strip())
    if not words:
        raise ValueError(f"expected groups of {', '.join(CAN_BE_OPENED)}")
    for word in words:
        _check(word)
    if len({word[0] in (OPEN, CLOSE) for word in words}) > 1:
        raise ValueError("expected either groups alone, or each with + or - before it")
    if len({word.lstrip(OPEN + CLOSE) for word in words}) < len(words):
        raise ValueError("expected each group once")
    return words


def open_groups(words: Collection[str], usual: Collection[Group]) -> tuple[Group, ...]:
    """Return the open Groups (health always): those in `words`, or `usual` with +group and -group applied."""
    plain = {word for word in words if word[0] not in (OPEN, CLOSE)}
    names = plain or {*usual} - {word[1:] for word in words if word[0] == CLOSE}
    names |= {word[1:] for word in words if word[0] == OPEN}
    return tuple(group for group in Group if group in names or group in ALWAYS_OPEN)


def _word(word: str) -> str:
    """Return a word of NIM_ROUTES without spaces after its + or -."""
    return word[0] + word[1:].strip() if word[0] in (OPEN, CLOSE) else word


def _check(word: str) -> None:
    """Raise ValueError if a word names a group that does not exist or cannot be opened or closed."""
    name = word[1:] if word[0] in (OPEN, CLOSE) else word
    if not name:
        raise ValueError(f"expected a group after {word}")
    if name == Group.HIDDEN:
        raise ValueError("the group hidden is never opened")
    if word[0] == CLOSE and name in ALWAYS_OPEN:
        raise ValueError(f"the group {name} cannot be closed: probes need it")
    if name not in CAN_BE_OPENED:
        near = nearest(name, CAN_BE_OPENED, count=1)
        raise ValueError(
            f"there is no group {name}"
            + (f": did you mean {near[0]}?" if near else "")
            + f" (there are {', '.join(CAN_BE_OPENED)})"
        )
