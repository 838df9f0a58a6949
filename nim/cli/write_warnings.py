"""Warnings on stderr, in the form of the log, for answers on stdout that a program reads."""

import sys
import time
from collections.abc import Iterable, Mapping

from nim.errors import SettingsError
from nim.log_format import Form
from nim.redact import known_secrets, without
from nim.settings import Settings, read_settings


def write_warnings(settings: Settings, warnings: Iterable[str], secrets: Iterable[str] = ()) -> None:
    """Write each warning to stderr once, `secrets` masked, unless NIM_LOG_LEVEL excludes them."""
    form = Form(as_json=settings.jsonl_logging, level=settings.log_level)
    for warning in dict.fromkeys(warnings):
        if form.wants("WARNING"):
            sys.stderr.write(form.line("WARNING", "nim", without(secrets, warning), at=time.time()))
    sys.stderr.flush()


def warn_of_environment(environ: Mapping[str, str]) -> None:
    """Write warnings about NIM_* variables to stderr; nothing if a variable is invalid."""
    try:
        settings = read_settings(environ)
    except SettingsError:
        return
    write_warnings(settings, settings.warnings, known_secrets(environ))
