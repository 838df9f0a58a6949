"""Read a file of API keys' digests, and make the text that nginx loads.

A line is a name and a SHA-256 digest, `alice sha256:2cf24d…`; a `#` begins a comment. A key that `nim key`
makes has 256 random bits, so a digest without salt is enough: nobody can try that many.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping

from nim.errors import PreflightError
from nim.plan import ApiKeys
from nim.read_regular_file import read_text

VARIABLE = "NIM_API_KEYS_FILE"
NAME_OF_VLLM_KEY = "VLLM_API_KEY"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
DIGEST = re.compile(r"sha256:([0-9a-fA-F]{64})")
BYTE_ORDER_MARK = "\ufeff"  # as some editors write it
LONGEST_KEY = 1024  # as in nginx/api_keys.lua
LARGEST_FILE = 4 << 20


def digest_of(key: str) -> str:
    """Return the SHA-256 digest of a key as text of 64 hex digits."""
    return hashlib.sha256(key.encode()).hexdigest()


def digests_for_nginx(keys: ApiKeys, environ: Mapping[str, str]) -> str:
    """Return `name digest` lines for nginx from the key file and VLLM_API_KEY; PreflightError if bad."""
    digests = read_api_keys(keys.file) if keys.file else {}
    if keys.from_environment:
        digests = {digest_of(check_length(environ[NAME_OF_VLLM_KEY])): NAME_OF_VLLM_KEY} | digests
    return "".join(f"{name} {digest}\n" for digest, name in digests.items())


def read_api_keys(path: str) -> dict[str, str]:
    """Return {digest: name} of the keys in the file; PreflightError for a bad line or file, or no key."""
    digests: dict[str, str] = {}
    names: set[str] = set()
    for number, line in _lines(path):
        name, digest = _read_line(path, number, line)
        if name in names or digest in digests:
            what = f"the name {name}" if name in names else f"the key of {digests[digest]}"
            raise _cannot(
                path, f"line {number} repeats {what}", "one line for each key, with a name of its own"
            )
        names.add(name)
        digests[digest] = name
    if not digests:
        raise _cannot(path, "it has no keys, so that nobody could send a request", f"nim key NAME >> {path}")
    return digests


def check_length(key: str) -> str:
    """Return the key unchanged; PreflightError if it is longer than nginx looks up."""
    if len(key) <= LONGEST_KEY:
        return key
    raise PreflightError(
        f"cannot use an API key of {len(key)} characters: expected at most {LONGEST_KEY}",
        hint="nim key NAME makes one of 47",
    )


def _lines(path: str) -> Iterator[tuple[int, str]]:
    """Yield (number, text) of each line that is not blank, without comments; PreflightError if unreadable."""
    try:
        text = read_text(path, LARGEST_FILE).removeprefix(BYTE_ORDER_MARK)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise _cannot(path, str(why), f"ls -l {path}") from None
    for number, line in enumerate(text.splitlines(), 1):
        if words := line.partition("#")[0].strip():
            yield number, words


def _read_line(path: str, number: int, line: str) -> tuple[str, str]:
    """Return (name, hex digest) of a line; PreflightError, which does not show the line, if malformed."""
    name, _, digest = line.partition(" ")
    found = DIGEST.fullmatch(digest.strip())
    if not NAME.fullmatch(name) or found is None:
        raise _cannot(
            path,
            f"line {number} is not a name and a digest, such as `alice sha256:` and 64 hex digits",
            "nim key alice, or for a key that exists: printf %s KEY | nim key alice --stdin",
        )
    return name, found[1].lower()


def _cannot(path: str, why: str, hint: str) -> PreflightError:
    """Return (not raise) the PreflightError "cannot use NIM_API_KEYS_FILE '`path`': `why`"."""
    return PreflightError(f"cannot use {VARIABLE} '{path}' (from the environment): {why}", hint=hint)
