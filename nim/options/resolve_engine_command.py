"""The command words before the engine's options: vLLM's own or those of NIM_ENGINE_COMMAND."""

from collections.abc import Sequence

from nim.engine import tokenize
from nim.errors import SettingsError

PLACEHOLDER = "{engine}"


def engine_command(own: Sequence[str], replacement: str | None) -> tuple[str, ...]:
    """Return the command as a tuple: `own`, or NIM_ENGINE_COMMAND with vLLM's verb; SettingsError if blank.

    In a replacement, `{engine}` stands for all before the verb: `numactl -N 0 {engine}` wraps vLLM. A
    replacement without that word is used instead of vLLM.
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
