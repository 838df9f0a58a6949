"""Which names are secret, and how values are masked."""

import re
from collections.abc import Mapping, Sequence

MASK = "****"
_SECRET_NAME = re.compile(
    r"(?i)(api[-_]?keys?|access[-_]key([-_]id)?|private[-_]key|(^|[-_])tokens?|passw(or)?d|passphrase"
    r"|secrets?|credentials?)$"
)
# Names that end like a secret but are none.
_NOT_SECRET = re.compile(r"(?i)(allow[-_]credentials|tokens|(bos|eos|pad|unk|sep|cls|mask|image)[-_]token)$")


def is_secret_name(name: str) -> bool:
    """Return whether a variable, option or JSON key of this name holds a secret."""
    return bool(_SECRET_NAME.search(name)) and not _NOT_SECRET.search(name)


def mask_env(env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with secret values masked."""
    return {name: MASK if is_secret_name(name) and value else value for name, value in env.items()}


def mask_argv(argv: Sequence[str]) -> tuple[str, ...]:
    """Return the arguments with values of secret flags masked."""
    masked: list[str] = []
    hiding = False
    for token in argv:
        if token.startswith("--"):
            flag, equals, _ = token.partition("=")
            hiding = is_secret_name(flag)
            masked.append(f"{flag}={MASK}" if hiding and equals else token)
        else:
            masked.append(MASK if hiding else token)
    return tuple(masked)
