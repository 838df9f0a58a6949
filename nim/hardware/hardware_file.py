"""Hardware as a JSON file: written by `nim hardware --json`, read by `--hardware FILE`."""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from nim.errors import HardwareError, nearest
from nim.hardware.types import Gpu, Hardware, Mig
from nim.read_regular_file import read_text

FORMAT = 1
_PCI_ID = re.compile(r"[0-9a-f]{4}:[0-9a-f]{4}")


class _Misread(Exception):
    """Place in the file and what is wrong there."""


def hardware_to_json(hardware: Hardware) -> str:
    """Return the hardware as the text of one JSON object, readable by `hardware_from_json`."""
    first = {"format": FORMAT, "source": hardware.source, "gpus": ()}
    return json.dumps(first | asdict(hardware), ensure_ascii=False, indent=1) + "\n"


def load_hardware(path: str | Path) -> Hardware:
    """Return the `Hardware` in a JSON file; HardwareError if it is unreadable or a field does not match."""
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise HardwareError(f'cannot read hardware from "{path}": {reason}', hint=_HINT) from error
    return replace(hardware_from_json(text, origin=str(path)), source=f"file {path}")


def hardware_from_json(text: str, *, origin: str) -> Hardware:
    """Return the `Hardware` in JSON text; HardwareError that names `origin` unless all fields match."""
    try:
        data = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
        _check_format(data)
        hardware: Hardware = _record(Hardware)({k: v for k, v in data.items() if k != "format"}, "")
        _check_gpus(hardware.gpus)
    except (_Misread, ValueError, RecursionError) as wrong:
        what = f"it is not JSON: {wrong}" if isinstance(wrong, ValueError) else wrong
        raise HardwareError(f'cannot read hardware from "{origin}": {what}', hint=_HINT) from wrong
    return hardware


_HINT = "nim hardware --json > FILE writes one"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object's pairs as a dict; raise _Misread for a duplicate key."""
    for position, (name, _) in enumerate(pairs):
        if name in (earlier for earlier, _ in pairs[:position]):
            raise _Misread(f'"{name}" is written twice')
    return dict(pairs)


def _no_constant(word: str) -> Any:
    """Raise _Misread for NaN or Infinity."""
    raise _Misread(f"{word} is not a number that it can hold")


def _check_format(data: Any) -> None:
    """Raise _Misread if the parsed file is no object or of another format version."""
    if not isinstance(data, dict):
        raise _Misread("it is not an object")
    if (found := data.get("format")) != FORMAT or isinstance(found, bool):
        raise _Misread(f"its format is {json.dumps(found)}, and this release reads {FORMAT}")


def _record(kind: type[Any]) -> Callable[[Any, str], Any]:
    """Return a reader (value, place) of JSON objects with exactly the fields of dataclass `kind`."""

    def read_record(data: Any, where: str) -> Any:
        """Return an object of the class; refuse missing and unknown fields."""
        if not isinstance(data, dict):
            raise _wrong(where, "an object", data)
        declared = {field.name: field.type for field in fields(kind)}
        for name in data:
            if name not in declared:
                like = "".join(f', like "{known}"' for known in nearest(name, list(declared), count=1))
                raise _Misread(f"{_at(where, name)} is not a field{like}")
        for name in declared:
            if name not in data:
                raise _Misread(f"{_at(where, name)} is missing; write null where it is unknown")
        read = {name: _READERS[type_](data[name], _at(where, name)) for name, type_ in declared.items()}
        return kind(**read)

    return read_record


def _optional(read: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    """Return a reader that returns None for null and else calls `read`."""
    return lambda data, where: None if data is None else read(data, where)


def _list_of(read: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    """Return a reader of JSON lists, as tuples of what `read` returns."""

    def read_list(data: Any, where: str) -> tuple[Any, ...]:
        """Return the elements of a list as a tuple."""
        if not isinstance(data, list):
            raise _wrong(where, "a list", data)
        return tuple(read(item, f"{where}[{position}]") for position, item in enumerate(data))

    return read_list


def _text(data: Any, where: str) -> str:
    """Return the value if it is a string; else raise _Misread."""
    if not isinstance(data, str):
        raise _wrong(where, "a text", data)
    return data


def _whole(data: Any, where: str) -> int:
    """Return the value if it is a whole number from 0; else raise _Misread."""
    if not isinstance(data, int) or isinstance(data, bool) or data < 0:
        raise _wrong(where, "a whole number from 0", data)
    return data


def _number(data: Any, where: str) -> float:
    """Return the value as a float if it is a number from 0; else raise _Misread."""
    if not isinstance(data, int | float) or isinstance(data, bool) or data < 0:
        raise _wrong(where, "a number from 0", data)
    return float(data)


def _truth(data: Any, where: str) -> bool:
    """Return the value if it is a boolean; else raise _Misread."""
    if not isinstance(data, bool):
        raise _wrong(where, "true, false or null", data)
    return data


def _pair(data: Any, where: str) -> tuple[int, int]:
    """Return a list of two whole numbers as a tuple; else raise _Misread."""
    if not isinstance(data, list) or len(data) != 2:
        raise _wrong(where, "two whole numbers, as [9, 0]", data)
    return _whole(data[0], f"{where}[0]"), _whole(data[1], f"{where}[1]")


_READERS: dict[Any, Callable[[Any, str], Any]] = {
    str: _text,
    str | None: _optional(_text),
    int: _whole,
    int | None: _optional(_whole),
    float | None: _optional(_number),
    bool | None: _optional(_truth),
    tuple[int, int] | None: _optional(_pair),
    tuple[str, ...]: _list_of(_text),
    tuple[Gpu, ...]: _list_of(_record(Gpu)),
    Mig | None: _optional(_record(Mig)),
}


def _check_gpus(gpus: Iterable[Gpu]) -> None:
    """Raise _Misread for invalid ids, contradictory figures or duplicate UUIDs of the GPUs."""
    seen: set[str] = set()
    for position, gpu in enumerate(gpus):
        where = f"gpus[{position}]"
        if gpu.pci_id is not None and not _PCI_ID.fullmatch(gpu.pci_id):
            raise _wrong(f"{where}.pci_id", 'a "device:vendor" like "2335:10de"', gpu.pci_id)
        if (gpu.memory_free_bytes or 0) > (gpu.memory_total_bytes or gpu.memory_free_bytes or 0):
            raise _Misread(f"{where}.memory_free_bytes is more than its memory_total_bytes")
        if (gpu.utilization_percent or 0) > 100:
            raise _wrong(f"{where}.utilization_percent", "from 0 to 100", gpu.utilization_percent)
        if gpu.uuid is not None and gpu.uuid in seen:
            raise _Misread(f'{where}.uuid "{gpu.uuid}" is another GPU\'s, too')
        seen |= {gpu.uuid} if gpu.uuid is not None else set()


def _at(where: str, name: str) -> str:
    """Return the dotted place of a field in the file, for errors."""
    return f"{where}.{name}" if where else name


def _wrong(where: str, wanted: str, found: Any) -> _Misread:
    """Return the _Misread "`where` must be `wanted`, and is `found`"; does not raise it."""
    shown = json.dumps(found, ensure_ascii=False)
    return _Misread(f"{where} must be {wanted}, and is {shown if len(shown) <= 60 else shown[:57] + '...'}")
