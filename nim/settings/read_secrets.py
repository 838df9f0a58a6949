"""Read secrets from the environment and mounted files; refuse values that no client can send."""

import re
from collections.abc import Mapping

from nim.errors import SettingsError
from nim.read_regular_file import read_text

# Passed on to the engine. Each may be given as NAME_FILE instead.
SECRETS = (
    "HF_TOKEN",
    "NGC_API_KEY",
    "NGC_CLI_API_KEY",
    "MODELSCOPE_API_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "VLLM_API_KEY",
)
# The hub's client also reads this name.
_CLEANED = (*SECRETS, "HUGGING_FACE_HUB_TOKEN")
_QUOTES = "'\""
_SCHEME = "Bearer "
# `<your key>`, and what a shell, Kubernetes or a template would have replaced.
_PLACEHOLDER = re.compile(r"<[^<>]*>|\$[A-Z_][A-Z0-9_]+|\$\{.*\}|\$\(\w+\)|\{\{.*\}\}")
FROM_FILE = "_FILE"
MOST_BYTES = 64 * 1024


def with_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` as a new dict, secrets cleaned and NAME_FILE files read; SettingsError if bad.

    `NAME_FILE` gives the value of a secret `NAME` in a file, as mounted secrets are. SettingsError for a file
    that cannot be read, and, without showing it, for a value that no HTTP header can carry.
    """
    values = _with_files(environ)
    for name in _CLEANED:
        if values.get(name):
            values[name] = _cleaned(name, values[name])
    return values


def _with_files(environ: Mapping[str, str]) -> dict[str, str]:
    """Return a copy of `environ` with NAME_FILE files read into NAME; SettingsError if both are set."""
    values = dict(environ)
    for name in SECRETS:
        variable = name + FROM_FILE
        path = values.pop(variable, "")
        if path and environ.get(name):
            message = f"cannot use {variable} '{path}': {name} is set, too"
            raise SettingsError(message, hint=f"unset {name} or {variable}")
        if path:
            values[name] = _file_text(variable, path)
    return values


def _file_text(name: str, path: str) -> str:
    """Return the text of the file that variable `name` names; SettingsError if unreadable or empty."""
    try:
        text = read_text(path, MOST_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError(f"cannot read {name} '{path}': {why}", hint=f"ls -l '{path}'") from None
    if not text.strip():
        raise SettingsError(f"cannot use {name} '{path}': the file is empty", hint=f"wc -c '{path}'")
    return text


def _cleaned(name: str, text: str) -> str:
    """Return the secret without blanks, `NAME=` and quotes; SettingsError if no header can carry it."""
    secret = text.strip().removeprefix("export ").removeprefix(f"{name}=")
    if len(secret) > 1 and secret[0] in _QUOTES and secret[0] == secret[-1]:
        secret = secret[1:-1].strip()
    if fault := _fault(secret):
        raise SettingsError(f"cannot use {name}: {fault}", hint=f"unset {name}, or give it a value")
    at = next((n for n, char in enumerate(secret) if not (char.isascii() and char.isprintable())), None)
    if at is not None:
        raise SettingsError(
            f"cannot use {name}: character {at + 1} of {len(secret)} is not a printable ASCII character "
            f"(U+{ord(secret[at]):04X}), and no client sends that in a header",
            hint=f'printf %s "${name}" | od -c shows it; `printf %s KEY | base64` makes a Secret without it',
        )
    return secret


def _fault(secret: str) -> str | None:
    """Return why the text cannot be a secret (blank, placeholder, Bearer), as text; None if it can."""
    if not secret:
        return "its value is blank"
    if _PLACEHOLDER.fullmatch(secret):
        return "its value is a placeholder, or a reference that nothing has replaced"
    if secret.startswith(_SCHEME):
        return f'its value begins with "{_SCHEME}", which clients put before it'
    return None
