"""The engine's options as data: one row per option, found by exact spelling; names of earlier releases."""

import json
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nim.engine.value_limits import Limits, limits_from
from nim.errors import SettingsError
from nim.frozen_dataclass import frozen_dataclass

OPTIONS_DIR = Path(__file__).resolve().parent / "options"
HISTORY = "history.json"


class Kind(StrEnum):
    """The type of one value of an option, which decides how its text is read."""

    FLAG = "flag"  # present or absent, no negative form
    BOOLEAN = "boolean"  # --x and --no-x
    INTEGER = "integer"
    HUMAN_INTEGER = "human integer"  # 1k = 1000, 1K = 1024
    AUTO_INTEGER = "human integer or auto"  # auto = -1
    NUMBER = "number"
    STRING = "string"
    FOLDED = "folded string"  # lower case, dashes as underscores
    OBJECT = "JSON object"
    ARRAY = "JSON array"
    CONFIG = "JSON object of known keys"  # bare numbers may be 80m
    OBJECT_OR_STRING = "JSON object or string"
    COMMA_LIST = "comma list"  # of whole numbers and names
    LORA = "LoRA module"  # name=path, or a JSON object


JSON_KINDS = frozenset({Kind.OBJECT, Kind.ARRAY, Kind.CONFIG, Kind.OBJECT_OR_STRING})
KEYED_KINDS = JSON_KINDS - {Kind.ARRAY}


class Count(StrEnum):
    """How many values follow the option's name."""

    NONE = "none"
    ONE = "one"
    OPTIONAL = "optional"  # true if it stands alone
    MANY = "many"  # one or more


@frozen_dataclass
class Option:
    """One option of the engine."""

    name: str
    flag: str  # the canonical spelling
    spellings: tuple[str, ...]
    negatives: tuple[str, ...]
    kind: Kind
    count: Count
    repeats: bool  # each occurrence adds a value; otherwise the last wins
    nullable: bool  # "" and None mean null
    choices: tuple[Any, ...]  # empty: not limited
    suggested: tuple[str, ...]  # values the engine names but does not require
    keys: tuple[str, ...]  # the top-level keys of a JSON object; empty: unknown
    limits: Limits  # of a number, in addition to its type
    key_limits: Mapping[str, Limits]  # of the values of a JSON object
    default: Any  # None if it is null or cannot be written as JSON
    deprecated: str | None
    help: str
    group: str


@frozen_dataclass
class Gone:
    """An option or variable of an earlier release."""

    last_seen: str  # the last release known to have it
    use: str | None  # what to write instead, if the engine or a plain renaming gives it


@frozen_dataclass
class OptionTable:
    """All options and variables of one release. `spellings` maps to the option and whether it is negated."""

    version: str
    build: str
    options: Mapping[str, Option]
    spellings: Mapping[str, tuple[Option, bool]]
    variables: Mapping[str, Any]
    variable_values: Mapping[str, Mapping[str, Any]]  # of those that do not take any text
    gone: Mapping[str, Gone]
    gone_variables: Mapping[str, Gone]

    def find(self, spelling: str) -> tuple[Option, bool] | None:
        """Return (option, True for --x or False for --no-x) of an exact spelling; None if unknown."""
        return self.spellings.get(dashed(spelling))

    def named(self, name: str) -> Option | None:
        """Return the Option of this name, written with underscores or dashes; None if unknown."""
        return self.options.get(name.replace("-", "_"))

    def starting_with(self, prefix: str) -> tuple[str, ...]:
        """Return a tuple of the `--` spellings that begin with `prefix`; () if none does."""
        prefix = dashed(prefix)
        return tuple(s for s in self.spellings if s.startswith("--") and s.startswith(prefix))


def dashed(spelling: str) -> str:
    """Return a long option with dashes for underscores, as `--max-model-len`; other text unchanged."""
    return spelling.replace("_", "-") if spelling.startswith("--") else spelling


def table_versions() -> tuple[str, ...]:
    """Return the vLLM releases that have a table file, as texts, oldest first."""
    found = (path.stem.removeprefix("vllm-") for path in OPTIONS_DIR.glob("vllm-*.json"))
    return tuple(sorted(found, key=_release))


def known_release(version: str | None) -> str:
    """Return `version` without its build, or the newest release; SettingsError if there is no data on it."""
    known = table_versions()
    wanted = version.partition("+")[0] if version else known[-1]
    if wanted not in known:
        raise SettingsError(
            f'cannot check what vLLM "{wanted}" accepts: there is no data on it',
            allowed=known,
            hint="make engine-options",
        )
    return wanted


@cache
def load_options(version: str | None = None) -> OptionTable:
    """Return the OptionTable of a vLLM release (default: the newest), from JSON; SettingsError if none."""
    wanted = known_release(version)
    table = json.loads((OPTIONS_DIR / f"vllm-{wanted}.json").read_bytes())
    return table_from(table, json.loads((OPTIONS_DIR / HISTORY).read_bytes()))


def table_from(raw: Mapping[str, Any], history: Mapping[str, Any]) -> OptionTable:
    """Return the OptionTable built from the parsed table file `raw` and the parsed history file."""
    options = {name: _option(name, row) for name, row in raw["options"].items()}
    spellings = {s: (option, True) for option in options.values() for s in option.spellings}
    spellings.update({s: (option, False) for option in options.values() for s in option.negatives})
    return OptionTable(
        version=raw["version"],
        build=raw["build"],
        options=MappingProxyType(options),
        spellings=MappingProxyType(spellings),
        variables=MappingProxyType(raw["variables"]),
        variable_values=MappingProxyType(raw.get("variable_values", {})),
        gone=_gone(history["options"]),
        gone_variables=_gone(history["variables"]),
    )


def canonical_flag(name: str, spellings: tuple[str, ...]) -> str:
    """Return `--name` with dashes if it is among `spellings`, else the first long spelling."""
    plain = "--" + name.replace("_", "-")
    return plain if plain in spellings else next(s for s in spellings if s.startswith("--"))


def _option(name: str, row: Mapping[str, Any]) -> Option:
    """Return the Option built from one row of the table file."""
    spellings = tuple(row["flags"])
    return Option(
        name=name,
        flag=canonical_flag(name, spellings),
        spellings=spellings,
        negatives=tuple(row.get("negatives", ())),
        kind=Kind(row["kind"]),
        count=Count(row["count"]),
        repeats=row.get("repeats", False),
        nullable=row.get("nullable", False),
        choices=tuple(row.get("choices", ())),
        suggested=tuple(row.get("suggested", ())),
        keys=tuple(row.get("keys", ())),
        limits=limits_from(row.get("limits", {})),
        key_limits={key: limits_from(limits) for key, limits in row.get("key_limits", {}).items()},
        default=row.get("default"),
        deprecated=row.get("deprecated"),
        help=row.get("help", ""),
        group=row["group"],
    )


def _gone(rows: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Gone]:
    """Return removed name → Gone (last release, replacement), from rows of the history file."""
    return MappingProxyType(
        {name: Gone(last_seen=row["last_seen"], use=row.get("use")) for name, row in rows.items()}
    )


def _release(version: str) -> tuple[int, ...]:
    """Return a version as a tuple of numbers, for comparison: (0, 32, 0)."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())
