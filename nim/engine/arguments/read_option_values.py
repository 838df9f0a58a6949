"""Reading one value of an option from the text of an argument, or from a JSON value of a file."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from nim.engine.arguments.quoting import joined
from nim.engine.arguments.read_numbers_and_names import (
    MisfitError,
    auto_integer,
    comma_list,
    folded,
    human_integer,
    integer,
    number,
)
from nim.engine.arguments.read_unquoted_json import (
    NotJSONError,
    guess,
    is_open,
    read_json,
    read_loosely,
    write_json,
)
from nim.engine.option_table import JSON_KINDS, Count, Kind, Option
from nim.engine.supported_names_catalog import NAMED, load_catalog
from nim.engine.value_limits import Limits
from nim.errors import nearest
from nim.frozen_dataclass import frozen_dataclass
from nim.redact import mask_value

_HUMAN_IN_JSON = re.compile(r"\b\d+(?:\.\d+)?[kKmMgGtT]\b")
_JSON_STRINGS = re.compile(r'("(?:[^"\\]|\\.)*")')
_WHOLE_OBJECT = re.compile(r"(?s)\s*{.*}\s*")
_MAX_SHOWN = 12


@frozen_dataclass
class Reading:
    """A value, and a note where its text was not plain."""

    value: Any
    note: str | None = None


def read_text(option: Option, text: str) -> Reading:
    """Return the Reading (value, note) of an option's text, as the engine parses it; or MisfitError."""
    if option.nullable and text in ("", "None"):
        return Reading(value=None)
    if option.kind in JSON_KINDS and not _is_plain_string(option, text):
        return _read_json_text(option, text)
    value = _TEXT_READERS[option.kind](text)
    if option.kind is Kind.LORA and isinstance(value, dict):
        _check_keys(option, value)
    return Reading(value=_chosen(option, value), note=_unusual(option, value))


def read_value(option: Option, value: Any) -> Reading:
    """Return the Reading (value, note) of an option's value from a JSON or YAML file; or MisfitError."""
    if value is None or (option.count is Count.OPTIONAL and value is True):
        return Reading(value=value)
    if option.count is not Count.MANY and not option.repeats:
        return _read_item(option, value)
    items = value if isinstance(value, list | tuple) else [value]
    readings = [_read_item(option, item) for item in items]
    notes = [reading.note for reading in readings if reading.note]
    return Reading(value=[reading.value for reading in readings], note="; ".join(notes) or None)


def _read_item(option: Option, value: Any) -> Reading:
    """Return the Reading of one value from a file, converted to the option's kind; or MisfitError."""
    if value is None and option.nullable:
        return Reading(value=None)
    if option.count is Count.NONE:
        if isinstance(value, bool):
            return Reading(value=value)
        raise MisfitError(f"{_shown(value)} is not a yes or no", allowed=("true", "false"))
    if isinstance(value, str):
        return read_text(option, value)
    if isinstance(value, Mapping | list | tuple):
        return Reading(value=_structured(option, value))
    return _read_number(option, value)


def _structured(option: Option, value: Any) -> Any:
    """Return a list or dict from a file, converted to the option's kind; MisfitError if it cannot be."""
    if option.kind is Kind.COMMA_LIST and isinstance(value, list | tuple):
        return comma_list(",".join(str(item) for item in value))
    plain = dict(value) if isinstance(value, Mapping) else list(value)
    fits = option.kind is Kind.ARRAY if isinstance(plain, list) else option.kind in _TAKE_OBJECTS
    if not fits:
        raise MisfitError(f"{_shown(plain)} is not {_WANTED[option.kind]}")
    try:
        plain = read_json(write_json(plain))  # as the engine receives it: keys are strings
    except (TypeError, ValueError) as error:
        raise MisfitError(f"JSON cannot say it ({error})") from None
    return _check_keys(option, plain)


def _read_number(option: Option, value: Any) -> Reading:
    """Return the Reading of a number from a file; MisfitError if the option takes no number."""
    if isinstance(value, float) and option.kind in _INTEGERS and value.is_integer():
        value = int(value)  # 1.8e+06 in YAML is a whole number
    number_like = isinstance(value, int | float) and not isinstance(value, bool)
    if not number_like or option.kind in JSON_KINDS:
        raise MisfitError(f"{_shown(value)} is not {_WANTED[option.kind]}")
    return read_text(option, repr(value))


def _lora(text: str) -> str | dict[str, Any]:
    """Return a LoRA module: the text `name=path` unchanged, or a dict from JSON; else MisfitError."""
    if "=" in text and "," not in text:
        return text
    try:
        module = read_json(text)
    except NotJSONError as error:
        raise MisfitError(
            f'"{text}" is neither name=path nor a JSON object ({error})', write="NAME=PATH"
        ) from None
    if isinstance(module, dict) and {"name", "path"} <= module.keys():
        return module
    raise MisfitError("a LoRA module needs a name and a path", write='{"name": "…", "path": "…"}')


def _read_json_text(option: Option, text: str) -> Reading:
    """Return the Reading of JSON text (dict or list), repaired if a shell damaged it; or MisfitError."""
    written = _expanded(text) if option.kind is Kind.CONFIG else text
    try:
        return Reading(value=_check_keys(option, _shaped(option, read_json(written))))
    except NotJSONError as error:
        return _read_damaged(option, written, str(error))


def _read_damaged(option: Option, text: str, why: str) -> Reading:
    """Return the Reading of invalid JSON that has one possible meaning, with a note; else MisfitError."""
    try:
        value = _check_keys(option, _shaped(option, read_loosely(text)))
    except NotJSONError:
        raise _not_json(option, text, why) from None
    return Reading(value=value, note=understood(value))


def understood(value: Any) -> str:
    """Return the note about repaired JSON: `understood as …; write it so`, with secrets masked."""
    shown = write_json(mask_value("", value))
    return f"understood as {joined([shown])}; write it so"


def _not_json(option: Option, text: str, why: str) -> MisfitError:
    """Return (not raise) the MisfitError for text that is no JSON, with the probable meaning as a hint."""
    meant = guess(text)
    fits = isinstance(meant, list) if option.kind is Kind.ARRAY else isinstance(meant, dict)
    write = write_json(mask_value("", meant)) if fits and meant else None
    return MisfitError(f"its value is not JSON: {why}", write=write)


def _shaped(option: Option, value: Any) -> Any:
    """Return `value` unchanged if it is a list or dict, as the option's kind requires; or MisfitError."""
    wanted = list if option.kind is Kind.ARRAY else dict
    if isinstance(value, wanted):
        return value
    raise MisfitError(f"{_shown(value)} is not {_WANTED[option.kind]}")


def _check_keys(option: Option, value: Any) -> Any:
    """Return `value` unchanged; MisfitError if it is a dict with an unknown key or a value out of limits."""
    if not isinstance(value, dict) or not option.keys:
        return value
    for key, item in value.items():
        # Keys of objects that become keyword arguments may be written with dashes.
        name = str(key) if option.kind is Kind.CONFIG else str(key).replace("-", "_")
        if name not in option.keys:
            near = nearest(name, option.keys)
            allowed = (*near, *(known for known in option.keys if known not in near))[:_MAX_SHOWN]
            raise MisfitError(f'it has no key "{key}"', allowed=allowed)
        if name in option.key_limits:
            _check_item(option.key_limits[name], value, key, item)
    return value


def _check_item(limits: Limits, whole: Mapping[str, Any], key: Any, item: Any) -> None:
    """Raise MisfitError if the value `item` of key `key` is outside `limits`; else return None."""
    try:
        limits.check(item)
    except MisfitError as why:
        mended = write_json(mask_value("", {**whole, key: why.write})) if why.write else None
        raise MisfitError(f'{why.reason}, for "{key}"', allowed=why.allowed, write=mended) from None


def _chosen(option: Option, value: Any) -> Any:
    """Return `value` unchanged if it is among the option's choices and limits; MisfitError otherwise."""
    option.limits.check(value)
    if not option.choices or value in option.choices:
        return value
    names = [str(choice) for choice in option.choices]
    reason = f"{_shown(value)} is not among its choices{_elsewhere(option, value)}"
    raise MisfitError(reason, allowed=names, write=_near_choice(option, value))


def _elsewhere(option: Option, value: Any) -> str:
    """Return which vLLM release has an unknown --kv-cache-dtype, as text; "" for other options."""
    if option.name != "kv_cache_dtype":
        return ""
    catalog = load_catalog()
    elsewhere = catalog.elsewhere("kv_cache_dtypes", str(value))
    return f": vLLM {catalog.version} {elsewhere}" if elsewhere else ""


def _near_choice(option: Option, value: Any) -> str | None:
    """Return as text the next larger choice for a number, the most similar for a word; None if none."""
    if isinstance(value, int | float):
        enough = [choice for choice in option.choices if isinstance(choice, int | float) and choice > value]
        return str(min(enough)) if enough else None
    near = nearest(str(value), [str(choice) for choice in option.choices], 1)
    return near[0] if near else None


def _unusual(option: Option, value: Any) -> str | None:
    """Return a warning if a value resembles one of the option's suggested names; None otherwise.

    Names of the catalog are checked after all layers are resolved: another option may add the name.
    """
    if option.name in NAMED or not isinstance(value, str):
        return None
    if value.casefold() in {name.casefold() for name in option.suggested}:
        return None
    near = nearest(value, option.suggested, 1)
    return f'unknown by name; the nearest is "{near[0]}"' if near else None


def _is_plain_string(option: Option, text: str) -> bool:
    """Return True if the text is a string, not JSON, for an option that accepts both."""
    return option.kind is Kind.OBJECT_OR_STRING and not _WHOLE_OBJECT.fullmatch(text) and not is_open(text)


def _expanded(text: str) -> str:
    """Return JSON text with bare numbers such as 80m and 1K replaced by plain digits."""
    parts = _JSON_STRINGS.split(text)
    for index in range(0, len(parts), 2):
        parts[index] = _HUMAN_IN_JSON.sub(lambda match: str(human_integer(match.group())), parts[index])
    return "".join(parts)


def _shown(value: Any) -> str:
    """Return a value as text for error messages: quoted if a string, else JSON with secrets masked."""
    if isinstance(value, str):
        return f'"{value}"'
    try:
        return write_json(mask_value("", value))
    except (TypeError, ValueError):
        return "the value"


_INTEGERS = frozenset({Kind.INTEGER, Kind.HUMAN_INTEGER, Kind.AUTO_INTEGER})
_TAKE_OBJECTS = frozenset({Kind.OBJECT, Kind.CONFIG, Kind.OBJECT_OR_STRING, Kind.LORA})
_TEXT_READERS: Mapping[Kind, Callable[[str], Any]] = {
    Kind.INTEGER: integer,
    Kind.HUMAN_INTEGER: human_integer,
    Kind.AUTO_INTEGER: auto_integer,
    Kind.NUMBER: number,
    Kind.STRING: str,
    Kind.FOLDED: folded,
    Kind.COMMA_LIST: comma_list,
    Kind.LORA: _lora,
    Kind.OBJECT_OR_STRING: str,
}
_WANTED: Mapping[Kind, str] = {
    Kind.FLAG: "a yes or no",
    Kind.BOOLEAN: "a yes or no",
    Kind.INTEGER: "a whole number",
    Kind.HUMAN_INTEGER: "a whole number, or one like 8k",
    Kind.AUTO_INTEGER: 'a whole number, one like 8k, or "auto"',
    Kind.NUMBER: "a number",
    Kind.STRING: "a string",
    Kind.FOLDED: "a string",
    Kind.OBJECT: "a JSON object",
    Kind.ARRAY: "a JSON array",
    Kind.CONFIG: "a JSON object",
    Kind.OBJECT_OR_STRING: "a JSON object or a string",
    Kind.COMMA_LIST: "a list of device numbers or names",
    Kind.LORA: "name=path or a JSON object",
}
