"""Values made by `frozen_dataclass` behave like those of the standard library's decorator."""

import copy
import pickle
import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any

import pytest

from nim.frozen_dataclass import frozen_dataclass

standard = dataclass(frozen=True, kw_only=True, slots=True)


@standard
class Theirs:
    a: int
    b: tuple[str, ...] = ()
    c: list[int] = field(default_factory=list, compare=False)
    d: str = field(default="d", repr=False)


@frozen_dataclass
class Ours:
    a: int
    b: tuple[str, ...] = ()
    c: list[int] = field(default_factory=list, compare=False)
    d: str = field(default="d", repr=False)


@standard
class TheirChild(Theirs):
    e: int = 5


@frozen_dataclass
class OurChild(Ours):
    e: int = 5


@standard
class TheirEmpty:
    pass


@frozen_dataclass
class OurEmpty:
    pass


PAIRS = [(Theirs, Ours), (TheirChild, OurChild)]
VALUES: list[dict[str, Any]] = [{"a": 1}, {"a": 2}]
VALUES += [{"a": 1, "b": ("x",)}, {"a": 1, "c": [9]}, {"a": 1, "d": "e"}]
EACH = pytest.mark.parametrize(("theirs", "ours"), PAIRS)


def told(action: Callable[[], Any]) -> str:
    """The text of the result or of a TypeError, without what differs in the names of the classes."""
    try:
        text = repr(action())
    except TypeError as error:
        text = f"TypeError: {error}"
    return re.sub("Theirs?|Ours?", "", text)


@EACH
def test_equal_and_unequal_and_hashes(theirs: Any, ours: Any) -> None:
    for one in VALUES:
        for other in VALUES:
            same = theirs(**one) == theirs(**other)
            assert (ours(**one) == ours(**other)) == same
            assert (len({ours(**one), ours(**other)}) == 1) == same
    assert ours(a=1) != theirs(a=1)
    assert Ours(a=1) != OurChild(a=1)


@EACH
@pytest.mark.parametrize("values", [{}, {"a": 1}, {"a": 1, "z": 2}, {"a": "text", "b": ("y",), "c": [1]}])
def test_what_is_shown_and_refused(theirs: Any, ours: Any, values: dict[str, Any]) -> None:
    assert told(lambda: ours(**values)) == told(lambda: theirs(**values))
    assert told(lambda: ours(1)) == told(lambda: theirs(1))


@EACH
def test_no_attribute_can_be_changed_or_added(theirs: Any, ours: Any) -> None:
    for cls in (theirs, ours):
        value = cls(a=1)
        for name in ("a", "c"):
            with pytest.raises(FrozenInstanceError):
                setattr(value, name, 2)
            with pytest.raises(FrozenInstanceError):
                delattr(value, name)
        with pytest.raises((AttributeError, TypeError)):
            value.unknown = 1
        assert value == cls(a=1)


@EACH
def test_tools_of_the_standard_library_work(theirs: Any, ours: Any) -> None:
    value = ours(a=1, b=("x",), c=[1])
    assert asdict(value) == asdict(theirs(a=1, b=("x",), c=[1]))
    assert [one.name for one in fields(ours)] == [one.name for one in fields(theirs)]
    changed: Any = replace(value, a=2)
    assert (changed.a, changed.b) == (2, ("x",))
    for copied in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert copied == value
        assert copied.c == [1]
    assert not hasattr(value, "__dict__")
    assert ours(a=1).c is not ours(a=1).c
    assert is_dataclass(ours)


def test_a_class_without_fields() -> None:
    assert (OurEmpty() == OurEmpty()) is (TheirEmpty() == TheirEmpty()) is True
    assert hash(OurEmpty()) == hash(OurEmpty())
    assert repr(OurEmpty()) == "OurEmpty()"


def test_an_own_repr_and_properties_stay() -> None:
    @frozen_dataclass
    class Own:
        a: int

        def __repr__(self) -> str:
            return "own"

        @property
        def twice(self) -> int:
            return 2 * self.a

        def __post_init__(self) -> None:
            if self.a < 0:
                raise ValueError("negative")

    assert repr(Own(a=1)) == "own"
    assert Own(a=2).twice == 4
    with pytest.raises(ValueError, match="negative"):
        Own(a=-1)
