"""Which verb: `nim VERB …`, the names NIM's users know, or no verb at all, which serves."""

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

from nim import __version__
from nim.cli.early_signals import StoppedEarly, stop_early
from nim.errors import NimError, SettingsError, nearest
from nim.log_format import Form
from nim.settings import with_secrets
from nim.settings.value_types import BOOLEAN

Verb = Callable[[Sequence[str], Mapping[str, str]], int]

# verb → module and what it is for. Modules are imported when their verb is used: start-up pays for one.
VERBS: Mapping[str, tuple[str, str]] = {
    "serve": ("nim.cli.serve", "start the service (also without a verb)"),
    "plan": ("nim.cli.plan", "what a start would do, and why: no GPU, network or engine needed"),
    "profiles": (
        "nim.cli.profiles",
        "a model's profiles and which of them run here; manifests checked, or made from recipes",
    ),
    "model": ("nim.cli.model", "what a model is, whether it fits, and how long a context"),
    "fetch": ("nim.cli.fetch", "fill the cache with what a start would fetch"),
    "store": ("nim.cli.store", "make a plain directory of a model, to be served by its path"),
    "hardware": ("nim.cli.hardware", "what this machine has"),
    "settings": ("nim.cli.settings", "every variable, its default and what it does"),
    "routes": ("nim.cli.routes", "what the gateway lets through, and what not"),
    "doctor": (
        "nim.cli.doctor",
        "whether the option table matches the engine, and whether a proxy passes streams",
    ),
    "drain": ("nim.cli.drain", "stop a running service gently, and wait until it has stopped"),
}
ALIASES = {
    "nim-serve": "serve",
    "list-model-profiles": "profiles",
    "download-to-cache": "fetch",
    "create-model-store": "store",
    "download-model": "store",
}

# Commands of NIM's that this release does not have, and what there is instead.
ABSENT = {
    "mirror": "HF_ENDPOINT=… a mirror of the hub",
    "nim-serve-ray": "nim-serve: one node, several are not supported yet",
    "show-build-info": "nim --version",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb. Returns the exit code; a refusal is printed to stderr, whole."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        return _run(arguments)
    except NimError as refusal:
        _tell(refusal)
        return refusal.exit_code
    except StoppedEarly as stopped:
        _say("INFO", str(stopped))
        return 0
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output left. That is its right, and no error of ours.
        sys.stderr.close()
        return 0
    except OSError as error:
        if error.filename is not None:
            raise
        print(f"nim: cannot write the answer: {error.strerror}", file=sys.stderr)  # a full disk
        return 1


def _tell(refusal: NimError) -> None:
    """In the form that the log would have had: JSON where that was asked for."""
    if not _as_json():
        print(f"nim: {refusal}", file=sys.stderr)
        return
    more = {"exit_code": refusal.exit_code, "allowed": refusal.allowed, "hint": refusal.hint}
    _say("CRITICAL", refusal.message, **more)


def _say(level: str, message: str, **more: Any) -> None:
    sys.stderr.write(Form(as_json=_as_json()).line(level, "nim", message, at=time.time(), **more))


def _as_json() -> bool:
    """A value that is neither on nor off is refused, in plain text."""
    with suppress(ValueError):
        return bool(BOOLEAN.read(os.environ.get("NIM_JSONL_LOGGING", "").strip()))
    return False


def nim_serve() -> int:
    """`nim-serve …`, as NIM calls it."""
    return main(["serve", *sys.argv[1:]])


def list_model_profiles() -> int:
    """`list-model-profiles …`, as NIM calls it."""
    return main(["profiles", *sys.argv[1:]])


def download_to_cache() -> int:
    """`download-to-cache …`, as NIM calls it."""
    return main(["fetch", *sys.argv[1:]])


def create_model_store() -> int:
    """`create-model-store …`, as NIM calls it."""
    return main(["store", *sys.argv[1:]])


def usage() -> str:
    """The verbs, one a line."""
    lines = ["usage: nim [VERB] …", ""]
    lines += [f"  {verb:<10} {purpose}" for verb, (_, purpose) in VERBS.items()]
    lines += [
        "",
        "`nim VERB -h` says more; `nim --version` says which this is.",
        "Without a verb: `nim serve`, and flags go to the engine.",
    ]
    return "\n".join(lines)


def _run(arguments: Sequence[str]) -> int:
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
    if verb == "serve":
        stop_early()
    run: Verb = import_module(VERBS[verb][0]).run
    return run(rest, with_secrets(os.environ))


def _verb(arguments: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The verb and what follows it. A flag or a model in its place means `serve`."""
    if not arguments:
        return "serve", ()
    first = ALIASES.get(arguments[0], arguments[0])
    if first in VERBS:
        return first, arguments[1:]
    if first.startswith("-") or "/" in first:
        return "serve", arguments
    if first in ABSENT:
        raise SettingsError(f"cannot run '{first}': this release does not have it", hint=ABSENT[first])
    from nim.engine.pasted_command import is_command  # only where the first word is no verb

    if is_command(first):
        return "serve", arguments
    near = nearest(first, [*VERBS, *ALIASES])
    raise SettingsError(
        f"cannot run '{first}': there is no such verb", allowed=near or tuple(VERBS), hint="nim -h"
    )
