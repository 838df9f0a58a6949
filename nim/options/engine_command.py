"""The engine's own command, or what NIM_ENGINE_COMMAND puts in its place."""

from collections.abc import Sequence

from nim.engine import tokenize
from nim.errors import SettingsError

PLACEHOLDER = "{engine}"


def engine_command(own: Sequence[str], replacement: str | None) -> tuple[str, ...]:
    """`own` ends in vLLM's verb, which a replacement is given too. `{engine}` stands for all before the verb.

    So `numactl -N 0 {engine}` wraps vLLM, and a program without the word takes its place.
    """
    if replacement is None:
        return tuple(own)
    words = tokenize(replacement, place="NIM_ENGINE_COMMAND")
    if not words:
        raise SettingsError("cannot use NIM_ENGINE_COMMAND: it is blank", hint="unset NIM_ENGINE_COMMAND")
    command: list[str] = []
    for word in words:
        command += own[:-1] if word == PLACEHOLDER else [word]
    return (*command, own[-1])
