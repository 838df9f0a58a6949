"""The dataclass decorator for values: frozen, keyword-only, with slots, and quick to import."""

from dataclasses import FrozenInstanceError, dataclass, field, fields
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def frozen_dataclass(cls: type[T]) -> type[T]:
    """Return `cls` as a frozen, keyword-only dataclass with slots, made in a third of the usual time.

    The standard decorator compiles six methods for each class, which takes half a millisecond, and a start
    needs 140 classes. Here it compiles only `__init__`; all classes share the other methods.
    """
    made: Any = dataclass(kw_only=True, slots=True, eq=False, repr=False)(cls)
    compared = [one.name for one in fields(made) if one.compare]
    made.__eq__, made.__hash__ = _comparison(attrgetter(*compared) if compared else type)
    made.__repr__ = vars(cls).get("__repr__", _repr)
    made.__setattr__, made.__delattr__ = _set_once, _refuse_to_delete
    return made  # type: ignore[no-any-return]


def _comparison(values: Any) -> tuple[Any, Any]:
    """Return (`__eq__`, `__hash__`) of a class; `values` returns what is compared of an instance."""

    def equal(self: Any, other: object) -> bool:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    def hash_of(self: Any) -> int:
        return hash(values(self))

    return equal, hash_of


def _repr(self: Any) -> str:
    """Return `Class(name=value, …)`."""
    shown = (f"{one.name}={getattr(self, one.name)!r}" for one in fields(self) if one.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _set_once(self: object, name: str, value: Any) -> None:
    """Set an attribute that has no value yet, as `__init__` does; FrozenInstanceError if it has one."""
    if hasattr(self, name):
        raise FrozenInstanceError(f"cannot assign to field {name!r}")
    object.__setattr__(self, name, value)


def _refuse_to_delete(_: object, name: str) -> None:
    """Raise FrozenInstanceError."""
    raise FrozenInstanceError(f"cannot delete field {name!r}")
