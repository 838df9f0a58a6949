"""Building blocks for rules about combinations of options that the engine refuses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nim.engine import OptionTable
from nim.engine.option_table import Kind
from nim.hardware.types import Gpu
from nim.models.facts import ModelFacts
from nim.settings import declared
from nim.value_origins import Layer, Value

# Engine option → the variable that sets it.
VARIABLES = {setting.option: setting.name for setting in declared().values() if setting.option}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The resolved configuration as rules see it: the set value of each option, else the engine's default.

    `experts` is the model's number of experts, 0 for a dense model, None where it is not known. `model` are
    the model's files, where they are at hand, and `gpu` is the first GPU of a start on GPUs.
    """

    config: Mapping[str, Value]
    table: OptionTable
    experts: int | None = None
    model: ModelFacts | None = None
    gpu: Gpu | None = None

    def get(self, name: str) -> Any:
        """Return the option's value, or the engine's default."""
        if name in self.config:
            return self.config[name].value
        option = self.table.options.get(name)
        return option.default if option else None

    def given(self, name: str) -> bool:
        """Return whether a layer sets the option."""
        return name in self.config and self.config[name].value is not None

    def number(self, name: str) -> float | None:
        """Return the option's value if it is a number, else None; "auto", which is -1, gives None."""
        value = self.get(name)
        option = self.table.options.get(name)
        if option and option.kind is Kind.AUTO_INTEGER and value == -1:
            return None
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def item(self, name: str, key: str) -> Any:
        """Return a value of an option that is a JSON object; None if it is not set."""
        return self.items(name).get(key)

    def items(self, name: str) -> dict[str, Any]:
        """Return an option that is a JSON object, with underscores in its keys; empty if it is not set."""
        value = self.get(name)
        return (
            {str(key).replace("-", "_"): one for key, one in value.items()}
            if isinstance(value, Mapping)
            else {}
        )

    def flag(self, name: str) -> str:
        """Return an option as text, with value and origin: `--max-loras 4 (NIM_MAX_GPU_LORAS)`."""
        option = self.table.options[name]
        value = self.get(name)
        shown = "" if isinstance(value, bool | Mapping | list) or value is None else f" {value}"
        written = option.negatives[0] if value is False and option.negatives else option.flag
        if not self.given(name):
            return f"{written}{shown} (the engine's default)"
        return f"{written}{shown} ({self.config[name].origin.place})"

    def write(self, name: str, value: object, beside: str) -> str:
        """Return what to type for an option: its variable if a variable set `beside`, else its flag."""
        origin = self.config[beside].origin if beside in self.config else None
        if origin and origin.layer is Layer.ENV and name in VARIABLES:
            return f"{VARIABLES[name]}={value}"
        option = self.table.options[name]
        return f"{option.flag} {value}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Clash:
    """A combination that the engine refuses. `message` follows "cannot use "."""

    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing for which the engine refuses to start. `source` is where it does so in vLLM 0.32."""

    source: str
    find: Callable[[Said], Clash | None]


def needs(name: str, other: str, value: object = "", *, source: str) -> Rule:
    """Return the rule that the first option requires the second."""

    def find(said: Said) -> Clash | None:
        """Return the clash of the first option without the second; None if there is none."""
        if not said.get(name) or said.get(other):
            return None
        flag = said.table.options[other].flag
        return Clash(message=f"{said.flag(name)}: it needs {flag}", hint=said.write(other, value, name))

    return Rule(source=source, find=find)


def excludes(name: str, other: str, *, source: str) -> Rule:
    """Return the rule that at most one of the two options is on."""

    def find(said: Said) -> Clash | None:
        """Return the clash of two options that are both on; None if there is none."""
        if not said.get(name) or not said.get(other):
            return None
        return Clash(message=f"{said.flag(name)} with {said.flag(other)}", hint="one of the two")

    return Rule(source=source, find=find)


def at_least(name: str, least: int, *, source: str, where: Callable[[Said], bool] | None = None) -> Rule:
    """Return the rule that a number that was set is not below `least`."""

    def find(said: Said) -> Clash | None:
        value = said.number(name)
        if not said.given(name) or value is None or value >= least or (where and not where(said)):
            return None
        return Clash(message=f"{said.flag(name)}: it is below {least}", hint=said.write(name, least, name))

    return Rule(source=source, find=find)


def at_most(name: str, other: str, *, source: str, where: Callable[[Said], bool] | None = None) -> Rule:
    """Return the rule that the first number is not above the second, where both are known."""

    def find(said: Said) -> Clash | None:
        """Return the clash of a number above the other; None if there is none."""
        low, high = said.number(name), said.number(other)
        if low is None or high is None or low <= high or not (said.given(name) or said.given(other)):
            return None
        if where is not None and not where(said):
            return None
        return Clash(
            message=f"{said.flag(name)}: it is more than {said.flag(other)}",
            hint=said.write(other, low, other),
        )

    return Rule(source=source, find=find)


def once(option: str, whole: str, key: str, *, source: str) -> Rule:
    """Return the rule that a value is not set both by its option and by a key of a JSON object."""

    def find(said: Said) -> Clash | None:
        """Return the clash of a value set twice; None if there is none."""
        if not said.given(option) or said.item(whole, key) is None:
            return None
        message = f'{said.flag(option)} and "{key}" of {said.flag(whole)}: they say the same'
        return Clash(message=message, hint="one of the two")

    return Rule(source=source, find=find)


def found(message: str, hint: str | None = None) -> Clash:
    """Return a clash with this message and hint."""
    return Clash(message=message, hint=hint)
