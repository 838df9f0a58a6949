"""Entry point of the command `nim` and of NIM's command names: select the subcommand and run it."""

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from typing import Any

from nim import __version__
from nim.cli.open_closed_streams import open_closed_streams
from nim.cli.stop_on_early_signals import StoppedEarly, stop_early
from nim.errors import NimError, SettingsError, nearest
from nim.log_format import Form, printable
from nim.redact import known_secrets, without
from nim.settings import with_secrets
from nim.settings.refuse_non_utf8 import refuse_other_text
from nim.settings.value_types import BOOLEAN

Verb = Callable[[Sequence[str], Mapping[str, str]], int]

# verb → module and purpose. Only the module of the selected verb is imported, to keep the start fast.
VERBS: Mapping[str, tuple[str, str]] = {
    "serve": ("nim.cli.verbs.serve", "start the service (also without a verb)"),
    "proxy": ("nim.cli.verbs.proxy", "start one address for many models and replicas; check its backends"),
    "plan": ("nim.cli.verbs.plan", "show what a start would do, and why; needs no GPU, network or engine"),
    "profiles": (
        "nim.cli.verbs.profiles",
        "list a model's profiles and which of them run here; check manifests, or import recipes",
    ),
    "model": ("nim.cli.verbs.model", "show what a model is, whether it fits, and its longest context"),
    "fetch": ("nim.cli.verbs.fetch", "fill the cache with the files that a start would fetch"),
    "store": ("nim.cli.verbs.store", "write a model as a plain directory, to be served by its path"),
    "mirror": (
        "nim.cli.verbs.model_files.mirror",
        "copy models to a bucket or directory, for NIM_REPOSITORY_OVERRIDE",
    ),
    "cache": ("nim.cli.verbs.model_files.cache", "list, verify or prune the models in the cache"),
    "hardware": ("nim.cli.verbs.hardware", "show the hardware of this machine"),
    "settings": ("nim.cli.verbs.settings", "list every variable, its default and its effect"),
    "routes": ("nim.cli.verbs.routes", "list the routes of the gateway, open and closed"),
    "key": ("nim.cli.verbs.key", "make an API key for NIM_API_KEYS_FILE"),
    "doctor": (
        "nim.cli.verbs.doctor_option_table",
        "check whether the option table matches the engine, or whether a proxy passes streams",
    ),
    "drain": ("nim.cli.verbs.drain", "shut a running service down gracefully, and wait until it has ended"),
}
# Commands of others that jobs of the NIM operator call.
FOREIGN = {"huggingface-cli": "nim.cli.verbs.huggingface_cli"}
ALIASES = {
    "nim-serve": "serve",
    "list-model-profiles": "profiles",
    "download-to-cache": "fetch",
    "create-model-store": "store",
    "download-model": "store",
}

# Commands of NIM that this release lacks, and their replacement.
ABSENT = {
    "nim-serve-ray": "nim-serve: one node, several are not supported yet",
    "show-build-info": "nim --version",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return the exit code; a NimError is printed to stderr, not raised."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        # A file can hold text that no encoding has, such as half of a surrogate pair.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return _run(arguments)
    except NimError as refusal:
        _print_refusal(refusal)
        return refusal.exit_code
    except StoppedEarly as stopped:
        _write_line("INFO", str(stopped))
        return 0
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of the output has closed it (as `head` does), which is not an error.
        sys.stderr.close()
        return 0
    except OSError as error:
        if error.filename is not None:
            raise
        print(f"nim: cannot write the answer: {error.strerror}", file=sys.stderr)  # a full disk
        return 1


def _print_refusal(refusal: NimError) -> None:
    """Print a NimError to stderr, secrets masked; as JSON if NIM_JSONL_LOGGING asks for it."""
    secrets = known_secrets(os.environ, sys.argv)
    if not _as_json():
        print(printable(f"nim: {without(secrets, str(refusal))}"), file=sys.stderr)
        return
    allowed = [without(secrets, one) for one in refusal.allowed]
    hint = refusal.hint and without(secrets, refusal.hint)
    more = {"exit_code": refusal.exit_code, "allowed": allowed, "hint": hint}
    _write_line("CRITICAL", without(secrets, refusal.message), **more)


def _write_line(level: str, message: str, **more: Any) -> None:
    """Write one line in the log's format to stderr."""
    sys.stderr.write(Form(as_json=_as_json()).line(level, "nim", message, at=time.time(), **more))


def _as_json() -> bool:
    """Return whether NIM_JSONL_LOGGING asks for JSON; False for an invalid value."""
    with suppress(ValueError):
        return bool(BOOLEAN.read(os.environ.get("NIM_JSONL_LOGGING", "").strip()))
    return False


def nim_serve() -> int:
    """Run `nim serve` under NIM's name `nim-serve`; return the exit code."""
    return main(["serve", *sys.argv[1:]])


def list_model_profiles() -> int:
    """Run `nim profiles` under NIM's name `list-model-profiles`; return the exit code."""
    return main(["profiles", *sys.argv[1:]])


def download_to_cache() -> int:
    """Run `nim fetch` under NIM's name `download-to-cache`; return the exit code."""
    return main(["fetch", *sys.argv[1:]])


def create_model_store() -> int:
    """Run `nim store` under NIM's name `create-model-store`; return the exit code."""
    return main(["store", *sys.argv[1:]])


def huggingface_cli() -> int:
    """Run the part of the hub's former command that the NIM operator calls; return the exit code."""
    return main(["huggingface-cli", *sys.argv[1:]])


def usage() -> str:
    """Return the usage text of `nim`: its subcommands, one per line."""
    lines = ["usage: nim [VERB] …", ""]
    lines += [f"  {verb:<10} {purpose}" for verb, (_, purpose) in VERBS.items()]
    lines += [
        "",
        "`nim VERB -h` lists the options of a verb; `nim --version` prints the version.",
        "Without a verb, `nim serve` is run, and flags go to the engine.",
    ]
    return "\n".join(lines)


def _run(arguments: Sequence[str]) -> int:
    """Run the subcommand in `arguments`, or print help or version; return the exit code."""
    if arguments[:1] in (["-h"], ["--help"]):
        print(usage())
        return 0
    if arguments[:1] == ["--version"]:
        print(__version__)
        return 0
    if len(arguments) > 1 and arguments[0] in ABSENT and {"-h", "--help"} & set(arguments[1:]):
        print(f"usage: {arguments[0]} [-h]: this release does not have it; instead: {ABSENT[arguments[0]]}")
        return 0
    verb, rest = _verb(arguments)
    if verb in ("serve", "proxy"):
        stop_early()
    refuse_other_text(os.environ, arguments)
    run: Verb = import_module(FOREIGN.get(verb) or VERBS[verb][0]).run
    return run(rest, with_secrets(os.environ))


def _verb(arguments: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Return (subcommand, arguments after it); `serve` for a flag or model, SettingsError for others."""
    if not arguments:
        return "serve", ()
    first = ALIASES.get(arguments[0], arguments[0])
    if first in VERBS or first in FOREIGN:
        return first, arguments[1:]
    if first.startswith("-") or "/" in first:
        return "serve", arguments
    if first in ABSENT:
        raise SettingsError(f"cannot run '{first}': this release does not have it", hint=ABSENT[first])
    from nim.engine.arguments.pasted_command import is_command  # not needed for known verbs

    if is_command(first):
        return "serve", arguments
    near = nearest(first, [*VERBS, *ALIASES])
    raise SettingsError(
        f"cannot run '{first}': there is no such verb", allowed=near or tuple(VERBS), hint="nim -h"
    )
