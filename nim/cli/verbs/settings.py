"""`nim settings [NAME …]`: every variable, its default and its effect."""

import argparse
import json
from collections.abc import Mapping, Sequence

from nim.cli.write_warnings import warn_of_environment
from nim.errors import SettingsError, nearest
from nim.settings import settings_data, settings_markdown
from nim.settings.declared import IGNORED, NOT_SUPPORTED, REFUSED
from nim.settings.variables_of_other_releases import OTHER_RELEASES


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `nim settings`: print all variables with defaults, or only the named ones; return 0."""
    parser = argparse.ArgumentParser(prog="nim settings", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="show only these variables")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print JSON")
    output.add_argument("--markdown", action="store_true", help="print the reference page of docs/")
    options = parser.parse_args(arguments)
    if options.markdown:
        print(settings_markdown(), end="")
        return 0
    rows = _chosen(options.names)
    warn_of_environment(environ)
    print(json.dumps(rows, indent=1) if options.json else "\n\n".join(_text(row) for row in rows))
    return 0


def _chosen(names: Sequence[str]) -> list[dict[str, object]]:
    """Return the rows (dicts) of the named settings, or of all; SettingsError for an unknown name."""
    rows = settings_data()
    by_name = {name: row for row in rows for name in (row["name"], *row["aliases"])}
    for name in names:
        if name not in by_name:
            raise _absent(name, list(by_name))
    return [by_name[name] for name in names] if names else rows


def _absent(name: str, known: Sequence[str]) -> SettingsError:
    """Return the SettingsError for an unknown or unsupported variable, its replacement as hint."""
    if name in REFUSED:
        absent = REFUSED[name]
        return SettingsError(f"cannot describe '{name}': {absent.because}", hint=absent.instead)
    if name in NOT_SUPPORTED:
        return SettingsError(f"cannot describe '{name}': it is not supported", hint=NOT_SUPPORTED[name])
    if name in OTHER_RELEASES:
        replaced = OTHER_RELEASES[name]
        return SettingsError(
            f"cannot describe '{name}': it is a variable of {replaced.release}, without effect here",
            hint=replaced.use.replace("{}", "…"),
        )
    if name in IGNORED:
        return SettingsError(
            f"cannot describe '{name}': it may be set, and does nothing", hint="nim settings"
        )
    message = f"cannot describe '{name}': there is no such setting"
    return SettingsError(message, allowed=nearest(name, known), hint="nim settings")


def _text(row: dict[str, object]) -> str:
    """Return a setting as two lines of text."""
    flag = f", sets {row['flag']}" if row["flag"] else ""
    return f"{row['name']} ({row['kind']}, default {row['default_text']}{flag})\n  {row['help']}"
