"""Check a recipe's arguments and variables against the option table of the pinned engine."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from nim.engine import OptionTable, parse_arguments, variable_warnings
from nim.engine.arguments.argument_error_messages import OWNED
from nim.engine.arguments.token_reader import is_value, read_word
from nim.errors import SettingsError
from nim.frozen_dataclass import frozen_dataclass
from nim.recipes.override_precedence import Part

PLACE = "the recipe"
_TP = "tensor_parallel_size"
# Not expressible in a profile, which only has tp times pp GPUs and names no machines.
_OTHER_GPUS = re.compile(
    r"pipeline_parallel_size|data_parallel_.*|nnodes|node_rank|master_(addr|port)|device_ids"
)
_PARSERS = ("tool_call_parser", "reasoning_parser")
_PLUGINS = ("tool_parser_plugin", "reasoning_parser_plugin", "tool_call_parser_plugin")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_PLACEHOLDER = re.compile(r"\$\w|\$\{|<\w|/path/to/")
_MOST_ALLOWED = 8
# Risks of an option, noted for readers of the manifest.
_RISKS = {
    "trust_remote_code": "runs code that comes with the model",
    "allowed_local_media_path": "lets every client read files of this machine",
}


@frozen_dataclass
class Reason:
    """A key of the recipe that is not imported, and the reason."""

    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.key}: {self.text}"


@frozen_dataclass
class Sourced:
    """A value with the recipe key it comes from and an optional note."""

    value: Any
    key: str
    note: str | None = None


@frozen_dataclass
class Options:
    """Engine options and environment variables, each with its origin."""

    args: Mapping[str, Sourced] = field(default_factory=dict)
    env: Mapping[str, Sourced] = field(default_factory=dict)


@frozen_dataclass
class Checked:
    """The result of a check. `refused` is what the engine rejects; `left_out` needs no correction.

    `tp` is the tensor parallel size set by arguments, `served_name` the model's name in the API.
    """

    options: Options
    refused: tuple[Reason, ...] = ()
    left_out: tuple[Reason, ...] = ()
    tp: int | None = None
    served_name: str | None = None


def judge_parts(parts: Sequence[Part], table: OptionTable) -> Checked:
    """Return the joined options and the refusals of all parts as `Checked`; later parts win."""
    return _Check(table).run(parts)


class _Check:
    """A check of parts in order, which collects options and refusals."""

    def __init__(self, table: OptionTable) -> None:
        self._table = table
        self._tokens: list[str] = []
        self._origins: dict[str, str] = {}
        self._env: dict[str, Sourced] = {}
        self._refused: list[Reason] = []
        self._left_out: list[Reason] = []
        self._tp: int | None = None
        self._served_name: str | None = None

    def run(self, parts: Sequence[Part]) -> Checked:
        """Check the parts in order and return `Checked`: accepted options, refusals and omissions."""
        for part in parts:
            self._take_arguments(part)
            self._take_variables(part)
        values = parse_arguments(self._tokens, self._table, place=PLACE).values
        args = {
            name.replace("_", "-"): Sourced(value=value, key=self._origins[name], note=_RISKS.get(name))
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
        """Record one part's accepted arguments, and its refusals; a refused whole part adds no option."""
        groups = list(_groups(part.args))
        found = [(group, self._name(group), self._problem(group, groups)) for group in groups]
        refused = [Reason(key=part.key, text=why) for _, _, why in found if why]
        self._refused += refused
        if refused and part.whole:
            return
        absent = [group for group, name, _ in found if name in _PLUGINS and _is_relative_file(group)]
        for group in absent:
            missing = f'it needs the file "{group[-1]}", which the engine does not include'
            self._left_out.append(Reason(key=part.key, text=missing))
        for group, name, why in found:
            if name and not why and not (absent and (part.whole or name in (*_PLUGINS, *_PARSERS))):
                self._take(part.key, group, name)

    def _take(self, key: str, group: Sequence[str], name: str) -> None:
        """Record one option that the engine accepts, or leave it out if the launcher sets it."""
        if name == _TP:
            self._tp = parse_arguments(group, self._table, place=PLACE).values[name]
        elif name == "served_model_name" and len(group) > 1:
            self._served_name = group[1]
        elif name in OWNED:
            self._leave_out(key, group, f"the launcher sets it itself ({OWNED[name]})")
        elif name == "chat_template" and _is_relative_file(group):
            self._leave_out(
                key, group, "the engine does not include this file; the model's own template is used"
            )
        else:
            self._tokens += group
            self._origins[name] = key

    def _take_variables(self, part: Part) -> None:
        """Record one part's variables; placeholders and invalid names are left out with a reason."""
        for name, value in part.env.items():
            if _PLACEHOLDER.search(value):
                why = f"{name}={value} is a placeholder to be filled in"
                self._left_out.append(Reason(key=part.key, text=why))
            elif not _VARIABLE.fullmatch(name):
                self._left_out.append(
                    Reason(key=part.key, text=f"{name} is not a valid variable name in a manifest")
                )
            else:
                warnings = variable_warnings({name: value}, self._table)
                note = warnings[0].removeprefix(f"{name}: ") if warnings else None
                self._env[name] = Sourced(value=value, key=part.key, note=note)

    def _leave_out(self, key: str, group: Sequence[str], why: str) -> None:
        """Record the reason why an option is not imported."""
        self._left_out.append(Reason(key=key, text=f"{' '.join(group)}: {why}"))

    def _name(self, group: Sequence[str]) -> str | None:
        """Return the name of a group's option; None if the engine has no such option."""
        if is_value(group[0]):
            return None
        found = self._table.find(read_word(group[0], self._table).flag)
        return found[0].name if found else None

    def _problem(self, group: Sequence[str], groups: Iterable[Sequence[str]]) -> str | None:
        """Return why the engine or a profile rejects this option (text); None if it is accepted."""
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
        """Return why a parser's name is unknown to the engine (text); None if it is known."""
        option = self._table.named(name)
        known = option.suggested if option else ()
        if len(group) < 2 or not known or group[1] in known:
            return None
        return f'cannot use "{group[0]} {group[1]}": vLLM {self._table.version} has no such parser'


def _groups(args: Sequence[str]) -> Iterator[list[str]]:
    """Yield each option with its values as a list of tokens."""
    group: list[str] = []
    for token in args:
        if group and not is_value(token):
            yield group
            group = []
        group.append(token)
    if group:
        yield group


def _is_relative_file(group: Sequence[str]) -> bool:
    """Return whether the option's value is a relative path, a file that only the author has."""
    path = group[0].partition("=")[2] or group[-1]
    return not path.startswith("/") and "\n" not in path and "{" not in path


def _one_line(error: SettingsError) -> str:
    """Return the error as one line of text, without hints that apply only to typed arguments."""
    words = error.message.replace(f" from {PLACE}", "").replace(f" in {PLACE}", "")
    if 0 < len(error.allowed) <= _MOST_ALLOWED:
        words += f"; allowed: {', '.join(error.allowed)}"
    if error.hint and "NIM_STRICT_ARGS" not in error.hint:
        words += f"; instead: {error.hint}"
    return " ".join(words.split())
