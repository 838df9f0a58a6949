"""Building blocks for rules about combinations of options that the engine refuses."""

from collections.abc import Callable, Mapping
from typing import Any

from nim.engine import OptionTable
from nim.engine.option_table import Kind
from nim.frozen_dataclass import frozen_dataclass
from nim.hardware.types import Gpu
from nim.models.facts import ModelFacts
from nim.settings import declared
from nim.value_origins import Layer, Value

# Engine option → the variable that sets it.
VARIABLES = {setting.option: setting.name for setting in declared().values() if setting.option}


@frozen_dataclass
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
        """Return the option's resolved value, else the engine's default; None for an unknown option."""
        if name in self.config:
            return self.config[name].value
        option = self.table.options.get(name)
        return option.default if option else None

    def given(self, name: str) -> bool:
        """Return True if some layer sets the option to a value other than None."""
        return name in self.config and self.config[name].value is not None

    def number(self, name: str) -> float | None:
        """Return the option's value if it is a number; None otherwise and for "auto"."""
        value = self.get(name)
        option = self.table.options.get(name)
        if option and option.kind is Kind.AUTO_INTEGER and value == -1:
            return None
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def item(self, name: str, key: str) -> Any:
        """Return the value of `key` in an option that is a JSON object; None if it is not set."""
        return self.items(name).get(key)

    def items(self, name: str) -> dict[str, Any]:
        """Return an option's JSON object as a dict with underscores in its keys; {} if it is not set."""
        value = self.get(name)
        return (
            {str(key).replace("-", "_"): one for key, one in value.items()}
            if isinstance(value, Mapping)
            else {}
        )

    def flag(self, name: str) -> str:
        """Return an option as text with value and origin: `--max-loras 4 (NIM_MAX_GPU_LORAS)`."""
        option = self.table.options[name]
        value = self.get(name)
        shown = "" if isinstance(value, bool | Mapping | list) or value is None else f" {value}"
        written = option.negatives[0] if value is False and option.negatives else option.flag
        if not self.given(name):
            return f"{written}{shown} (the engine's default)"
        return f"{written}{shown} ({self.config[name].origin.place})"

    def write(self, name: str, value: object, beside: str) -> str:
        """Return what to type to set an option: NAME=value if a variable set `beside`, else the flag."""
        origin = self.config[beside].origin if beside in self.config else None
        if origin and origin.layer is Layer.ENV and name in VARIABLES:
            return f"{VARIABLES[name]}={value}"
        option = self.table.options[name]
        return f"{option.flag} {value}".rstrip()


@frozen_dataclass
class Clash:
    """A combination that the engine refuses. `message` follows "cannot use "."""

    message: str
    hint: str | None = None


@frozen_dataclass
class Rule:
    """One thing for which the engine refuses to start. `source` is where it does so in vLLM 0.32."""

    source: str
    find: Callable[[Said], Clash | None]


def needs(name: str, other: str, value: object = "", *, source: str) -> Rule:
    """Return a Rule that option `name`, if on, requires option `other`."""

    def find(said: Said) -> Clash | None:
        """Return the Clash of the first option without the second; None if there is none."""
        if not said.get(name) or said.get(other):
            return None
        flag = said.table.options[other].flag
        return Clash(message=f"{said.flag(name)}: it needs {flag}", hint=said.write(other, value, name))

    return Rule(source=source, find=find)


def excludes(name: str, other: str, *, source: str) -> Rule:
    """Return a Rule that at most one of the two options is on."""

    def find(said: Said) -> Clash | None:
        """Return the Clash of two options that are both on; None otherwise."""
        if not said.get(name) or not said.get(other):
            return None
        return Clash(message=f"{said.flag(name)} with {said.flag(other)}", hint="one of the two")

    return Rule(source=source, find=find)


def at_least(name: str, least: int, *, source: str, where: Callable[[Said], bool] | None = None) -> Rule:
    """Return a Rule that a number set for option `name` is not below `least`."""

    def find(said: Said) -> Clash | None:
        """Return the Clash of a set number below `least`; None otherwise."""
        value = said.number(name)
        if not said.given(name) or value is None or value >= least or (where and not where(said)):
            return None
        return Clash(message=f"{said.flag(name)}: it is below {least}", hint=said.write(name, least, name))

    return Rule(source=source, find=find)


def at_most(name: str, other: str, *, source: str, where: Callable[[Said], bool] | None = None) -> Rule:
    """Return a Rule that the number of option `name` is not above that of option `other`."""

    def find(said: Said) -> Clash | None:
        """Return the Clash of a number above the other; None otherwise."""
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
    """Return a Rule that a value is not set both by `option` and by `key` of JSON option `whole`."""

    def find(said: Said) -> Clash | None:
        """Return the Clash of a value that is set twice; None otherwise."""
        if not said.given(option) or said.item(whole, key) is None:
            return None
        message = f'{said.flag(option)} and "{key}" of {said.flag(whole)}: they say the same'
        return Clash(message=message, hint="one of the two")

    return Rule(source=source, find=find)


def found(message: str, hint: str | None = None) -> Clash:
    """Return a Clash with this message and hint."""
    return Clash(message=message, hint=hint)
