"""`nim key NAME`: make an API key: the key goes to stderr, its line for NIM_API_KEYS_FILE to stdout."""

import argparse
import secrets
import sys
from collections.abc import Mapping, Sequence

from nim.errors import SettingsError
from nim.preflight.read_api_keys_file import NAME, check_length, digest_of

PREFIX = "nim-"
KEY_BYTES = 32


def run(arguments: Sequence[str], _environ: Mapping[str, str]) -> int:
    """Run `nim key`: print the line for a new key, or for one read from stdin; return 0."""
    parser = argparse.ArgumentParser(prog="nim key", description=__doc__)
    parser.add_argument("name", metavar="NAME", help="the name that logs and metrics show; such as alice")
    parser.add_argument("--stdin", action="store_true", help="read an existing key from stdin")
    options = parser.parse_args(arguments)
    if not NAME.fullmatch(options.name):
        raise SettingsError(
            f"cannot use the name '{options.name}': expected at most 64 letters, digits, dots, dashes and "
            "underscores",
            hint="nim key alice",
        )
    key = _from_stdin() if options.stdin else f"{PREFIX}{secrets.token_urlsafe(KEY_BYTES)}"
    if not options.stdin:
        print(f"the key, which is shown only now: {key}", file=sys.stderr)
    print(f"{options.name} sha256:{digest_of(key)}")
    return 0


def _from_stdin() -> str:
    """Read a key from stdin and return it stripped; SettingsError if no header can carry it."""
    key = sys.stdin.read().strip()
    if not key or not key.isascii() or not key.isprintable():
        raise SettingsError(
            "cannot use the key on stdin: expected printable ASCII characters",
            hint="printf %s KEY | nim key NAME --stdin",
        )
    return check_length(key)
