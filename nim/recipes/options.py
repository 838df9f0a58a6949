"""A recipe's arguments against the option table of the pinned engine: what it takes, and what not."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nim.engine import OptionTable, check_variables, parse_arguments
from nim.engine.refusals import OWNED
from nim.engine.token_reader import is_value, read_word
from nim.errors import SettingsError
from nim.recipes.layers import Part

PLACE = "the recipe"
_TP = "tensor_parallel_size"
# What a profile cannot say: it counts tp times pp GPUs, on machines that nobody has named yet.
_OTHER_GPUS = re.compile(
    r"pipeline_parallel_size|data_parallel_.*|nnodes|node_rank|master_(addr|port)|device_ids"
)
_PARSERS = ("tool_call_parser", "reasoning_parser")
_PLUGINS = ("tool_parser_plugin", "reasoning_parser_plugin", "tool_call_parser_plugin")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_PLACEHOLDER = re.compile(r"\$\w|\$\{|<\w|/path/to/")
_MOST_ALLOWED = 8
# What an option opens, for who did not write it.
_MIND = {
    "trust_remote_code": "runs code that comes with the model",
    "allowed_local_media_path": "lets every client have files of this machine read",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why something of the recipe does not come along: its key, and the reason."""

    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.key}: {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A value with the key of the recipe that says it, and what there is to know about it."""

    value: Any
    key: str
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options and variables of the engine, each with its origin."""

    args: Mapping[str, Said] = field(default_factory=dict)
    env: Mapping[str, Said] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Parts of a recipe, checked. `refused` are the engine's refusals, `left_out` is nothing to mend.

    `tp` is what arguments say of it, `served_name` the model's name in the API.
    """

    options: Options
    refused: tuple[Reason, ...] = ()
    left_out: tuple[Reason, ...] = ()
    tp: int | None = None
    served_name: str | None = None


def check_parts(parts: Sequence[Part], table: OptionTable) -> Checked:
    """The options that all parts make together; the later a part, the stronger."""
    return _Check(table).run(parts)


class _Check:
    """One pass over the parts."""

    def __init__(self, table: OptionTable) -> None:
        self._table = table
        self._tokens: list[str] = []
        self._origins: dict[str, str] = {}
        self._env: dict[str, Said] = {}
        self._refused: list[Reason] = []
        self._left_out: list[Reason] = []
        self._tp: int | None = None
        self._served_name: str | None = None

    def run(self, parts: Sequence[Part]) -> Checked:
        for part in parts:
            self._take_arguments(part)
            self._take_variables(part)
        values = parse_arguments(self._tokens, self._table, place=PLACE).values
        args = {
            name.replace("_", "-"): Said(value=value, key=self._origins[name], note=_MIND.get(name))
            for name, value in values.items()
        }
        return Checked(
            options=Options(args=args, env=self._env),
            refused=tuple(self._refused),
            left_out=tuple(self._left_out),
            tp=self._tp,
            served_name=self._served_name,
        )

    def _take_arguments(self, part: Part) -> None:
        groups = list(_groups(part.args))
        found = [(group, self._name(group), self._problem(group, groups)) for group in groups]
        refused = [Reason(key=part.key, text=why) for _, _, why in found if why]
        self._refused += refused
        if refused and part.whole:
            return
        absent = [group for group, name, _ in found if name in _PLUGINS and _is_near(group)]
        for group in absent:
            missing = f'the file "{group[-1]}" that it needs does not come with the engine'
            self._left_out.append(Reason(key=part.key, text=missing))
        for group, name, why in found:
            if name and not why and not (absent and (part.whole or name in (*_PLUGINS, *_PARSERS))):
                self._take(part.key, group, name)

    def _take(self, key: str, group: Sequence[str], name: str) -> None:
        """One option that the engine has."""
        if name == _TP:
            self._tp = parse_arguments(group, self._table, place=PLACE).values[name]
        elif name == "served_model_name" and len(group) > 1:
            self._served_name = group[1]
        elif name in OWNED:
            self._leave_out(key, group, f"the launcher sets it itself ({OWNED[name]})")
        elif name == "chat_template" and _is_near(group):
            self._leave_out(key, group, "this file does not come with the engine; the model's own serves")
        else:
            self._tokens += group
            self._origins[name] = key

    def _take_variables(self, part: Part) -> None:
        for name, value in part.env.items():
            if _PLACEHOLDER.search(value):
                why = f"{name}={value} is for a person to fill in"
                self._left_out.append(Reason(key=part.key, text=why))
            elif not _VARIABLE.fullmatch(name):
                self._left_out.append(Reason(key=part.key, text=f"{name} cannot stand in a manifest"))
            else:
                warnings = check_variables({name: value}, self._table)
                note = warnings[0].removeprefix(f"{name}: ") if warnings else None
                self._env[name] = Said(value=value, key=part.key, note=note)

    def _leave_out(self, key: str, group: Sequence[str], why: str) -> None:
        self._left_out.append(Reason(key=key, text=f"{' '.join(group)}: {why}"))

    def _name(self, group: Sequence[str]) -> str | None:
        """The name of the option that the group begins with, if the engine has it."""
        if is_value(group[0]):
            return None
        found = self._table.find(read_word(group[0], self._table).flag)
        return found[0].name if found else None

    def _problem(self, group: Sequence[str], groups: Iterable[Sequence[str]]) -> str | None:
        """Why the engine does not take this option."""
        name = self._name(group)
        if name is not None and _OTHER_GPUS.fullmatch(name):
            return f"cannot use {' '.join(group)}: a profile counts tp × pp GPUs, and its tags say how many"
        if name in OWNED:
            return None
        if name in _PARSERS and not any(self._name(other) in _PLUGINS for other in groups):
            return self._unknown_parser(group, name)
        try:
            parsed = parse_arguments(group, self._table, place=PLACE)
        except SettingsError as error:
            return _one_line(error)
        return f'cannot use "{parsed.model_tag}": no option goes with it' if parsed.model_tag else None

    def _unknown_parser(self, group: Sequence[str], name: str) -> str | None:
        option = self._table.named(name)
        known = option.suggested if option else ()
        if len(group) < 2 or not known or group[1] in known:
            return None
        return f'cannot use "{group[0]} {group[1]}": vLLM {self._table.version} has no such parser'


def _groups(args: Sequence[str]) -> Iterator[list[str]]:
    """Each option with its values."""
    group: list[str] = []
    for token in args:
        if group and not is_value(token):
            yield group
            group = []
        group.append(token)
    if group:
        yield group


def _is_near(group: Sequence[str]) -> bool:
    """Whether a file is named as it lies beside whoever wrote the recipe."""
    path = group[0].partition("=")[2] or group[-1]
    return not path.startswith("/") and "\n" not in path and "{" not in path


def _one_line(error: SettingsError) -> str:
    """The refusal without what is of use only where arguments are typed."""
    words = error.message.replace(f" from {PLACE}", "").replace(f" in {PLACE}", "")
    if 0 < len(error.allowed) <= _MOST_ALLOWED:
        words += f"; allowed: {', '.join(error.allowed)}"
    if error.hint and "NIM_STRICT_ARGS" not in error.hint:
        words += f"; instead: {error.hint}"
    return " ".join(words.split())
