"""What is secret, by name and by value, and how it is masked."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

MASK = "****"
# Shorter values are not searched for in other text: they would be masked wherever their letters occur.
SECRET_CHARACTERS = 6

_SECRET_NAME = re.compile(
    r"(?i)(api[-_]?keys?|(access|account|auth|encryption|private|secret|shared|signing)[-_]?key([-_]id)?"
    r"|(^|[-_])(auth|authorization|dsn|pass|sig)|[-_]pwd|(^|[-_])token|passw(or)?d|passphrase|secrets?|credentials?"
    r"|(access|api|auth|bearer|hub|refresh|session)[-_]?tokens?|connection[-_]?string|signature)$"
)
# Names that end like a secret but are none: a tokenizer's special tokens, mostly.
_NOT_SECRET = re.compile(
    r"(?i)(allow[-_]credentials|(^|[-_])(audio|begin|bo[aisv]|call|cls|col|end|eo[aisv]|first|image|last|mask|middle"
    r"|newline|next|pad|placeholder|prefix|row|sep|special|speech|start|stop|suffix|think|tool|unk|video|vision)"
    r"[-_]token)$"
)
# User and password of an address, also if the password has a slash. A port is no password. Repetitions are
# bounded: a log line may be long.
_USERINFO = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]{0,30}://(?!USER:PASSWORD@)"  # of a hint
    r"(?P<secret>[^\s\"'<>/?#]{1,512}|(?![^\s:/@]{0,255}:\d{1,5}[/?#])[^\s\"'<>/?#:@]{0,128}:[^\s\"'<>]{1,256})@"
)
_PROXY_USERINFO = re.compile(r"\s*(?P<secret>[^\s/@]+)@")
# What precedes the value in `"name": "value"` of JSON and of Python's repr, and in `name='value'`.
_BEFORE_QUOTED = re.compile(
    r"(?<![\w.-])(?P<name>[A-Za-z][\w.-]{0,63})\\?[\"']?\s{0,4}[:=]\s{0,4}(?P<quote>\\?[\"'])"
)
_UNTIL_QUOTE = {
    quote: re.compile(rf"(?P<secret>(?:(?!{re.escape(quote)}){step}|\n)+)")
    for quote, step in (('"', r"(?:\\.|.)"), ("'", r"(?:\\.|.)"), ('\\"', "."), ("\\'", "."))
}
# `?name=value` of an address.
_PARAMETER = re.compile(r"[?&;](?P<name>[A-Za-z][\w.-]{0,63})=(?P<secret>[^\s&;#\"']+)")
_HEADER = re.compile(r"(?i)\bauthorization[\"']?\s?[:=]\s?[\"']?(?:basic|bearer)\s(?P<secret>[^\s\"']+)")


def is_secret_name(name: str) -> bool:
    """Return whether a variable, option or JSON key of this name holds a secret."""
    return bool(_SECRET_NAME.search(name)) and not _NOT_SECRET.search(name)


def mask_text(text: str) -> str:
    """Return the text with users and passwords of URLs masked, and quoted values of secret names."""
    for search in _searches(text):
        text = _replaced(text, search(text))
    return text


def mask_value(name: str, value: Any) -> Any:
    """Return a value with everything secret masked, at any depth: by its name, by a key, by its text."""
    if is_secret_name(name):
        return value if value in (None, "") or isinstance(value, bool) else MASK
    if isinstance(value, Mapping):
        return {key: mask_value(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(mask_value("", inner) for inner in value)
    if not isinstance(value, str):
        return value
    if _is_proxy(name) and "://" not in value:
        return _replaced(value, _PROXY_USERINFO.finditer(value))
    return mask_text(value)


def mask_argv(argv: Sequence[str]) -> tuple[str, ...]:
    """Return a tuple of the arguments, with values of secret flags and secrets in others masked."""
    masked: list[str] = []
    hiding = False
    for token in argv:
        if token.startswith("--"):
            flag, equals, _ = token.partition("=")
            hiding = is_secret_name(flag)
            masked.append(f"{flag}={MASK}" if hiding and equals else mask_text(token))
        else:
            masked.append(MASK if hiding else mask_text(token))
    return tuple(masked)


def secret_in(name: str, value: Any) -> str | None:
    """Return text on which part of an option's value is secret (name, key, address); None if none."""
    if is_secret_name(name) and mask_value(name, value) != value:
        return name
    if isinstance(value, Mapping):
        inside = (secret_in(str(key), inner) for key, inner in value.items())
        return next((found for found in inside if found), None)
    if isinstance(value, list | tuple):
        return next((found for inner in value if (found := secret_in("", inner))), None)
    if isinstance(value, str) and _USERINFO.match(value):
        return "the user and password of its address"
    return None


def known_secrets(environ: Mapping[str, str], argv: Sequence[str] = ()) -> tuple[str, ...]:
    """Return a tuple of the secret texts of 6 characters or more in environment and arguments."""
    found = {value for name, value in environ.items() if is_secret_name(name)}
    for name, value in environ.items():
        found.update(_inside(value))
        if _is_proxy(name) and "://" not in value and (match := _PROXY_USERINFO.match(value)):
            found.update(_spellings(match["secret"]))
    for token, masked in zip(argv, mask_argv(argv), strict=True):
        if token != masked and masked.endswith(MASK):
            found.add(token.partition("=")[2] if token.startswith("--") else token)
        found.update(_inside(token))
    return tuple(sorted((s for s in found if len(s) >= SECRET_CHARACTERS), key=len, reverse=True))


def without(secrets: Iterable[str], text: str) -> str:
    """Return the text with each of these secrets replaced by ****, and whatever `mask_text` finds."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return mask_text(text)


def _searches(text: str) -> Iterator[Callable[[str], Iterator[re.Match[str]]]]:
    """Yield the search functions that can find anything in this text."""
    if "://" in text and "@" in text:
        yield _USERINFO.finditer
    if "'" in text or '"' in text:
        yield _quoted
    if "=" in text:
        yield _parameters
    if "uthorization" in text:
        yield _HEADER.finditer


def _quoted(text: str) -> Iterator[re.Match[str]]:
    """Yield a match for each quoted value of a secret name in the text."""
    end = 0
    for before in _BEFORE_QUOTED.finditer(text):
        if before.start() < end or not is_secret_name(before["name"]):
            continue
        if value := _UNTIL_QUOTE[before["quote"]].match(text, before.end()):
            yield value
            end = value.end()


def _parameters(text: str) -> Iterator[re.Match[str]]:
    """Yield a match for each parameter of a URL or form whose name is a secret's."""
    return (match for match in _PARAMETER.finditer(text) if is_secret_name(match["name"]))


def _replaced(text: str, matches: Iterable[re.Match[str]]) -> str:
    """Return the text with the group `secret` of each match replaced by the mask."""
    parts, end = [], 0
    for match in matches:
        parts += [text[end : match.start("secret")], MASK]
        end = match.end("secret")
    return "".join([*parts, text[end:]])


def _inside(text: str) -> Iterator[str]:
    """Yield each secret found in the text, in all spellings; nothing if there is none."""
    for search in _searches(text):
        for match in search(text):
            yield from _spellings(match["secret"])


def _spellings(secret: str) -> Iterator[str]:
    """Yield the secret and, of `user:password`, the password; both also without percent signs."""
    for part in (secret, secret.partition(":")[2]):
        yield from {part, unquote(part)}


def _is_proxy(name: str) -> bool:
    """Return whether a variable's name ends in _proxy, in any case."""
    return name.lower().endswith("_proxy")
