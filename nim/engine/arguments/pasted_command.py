"""Commands that were copied together with engine arguments: `vllm serve`, `python -m …`, a shell, docker."""

import re
from collections.abc import Sequence

from nim.engine.arguments.quoting import joined
from nim.engine.arguments.split_line import read_line
from nim.errors import SettingsError
from nim.frozen_dataclass import frozen_dataclass
from nim.redact import mask_argv

ASSIGNMENT = re.compile(r"[A-Z_][A-Z0-9_]*=.*", re.DOTALL)
_PYTHON = re.compile(r"python(\d+(\.\d+)?)?")
_SERVERS = frozenset({"vllm.entrypoints.openai.api_server", "vllm.entrypoints.cli.main", "vllm"})
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh"})
_SHELL_COMMAND = re.compile(r"-[a-z]*c")
_CONTAINERS = frozenset({"docker", "podman", "nerdctl"})
_WRAPPERS = frozenset({"exec", "nohup", "sudo", "uv", "run", "serve", "nim-serve", "nim", "vllm", "vllm-cpu"})
_END = "--"
# docker's own options that take no value.
_SWITCHES = frozenset({"--rm", "-d", "-it", "-i", "-t", "-ti", "--privileged", "--detach", "--init"})
# An image's name, recognized by the slash after its registry or owner.
_IMAGE = re.compile(r"[\w.-]+(:\d+)?(/[\w.-]+)+(:[\w.-]+)?(@sha256:[0-9a-f]+)?")


@frozen_dataclass
class Arguments:
    """The engine's arguments alone, and notes on the words that stood before them."""

    tokens: tuple[str, ...]
    notes: tuple[str, ...] = ()


def is_command(word: str) -> bool:
    """Return True if `word` begins a command: vllm, python, a shell, docker or NAME=value."""
    name = _program(word)
    known = name in _WRAPPERS | _SHELLS | _CONTAINERS
    return known or bool(_PYTHON.fullmatch(name)) or _sets_variable(word)


def without_command(tokens: Sequence[str], *, place: str) -> Arguments:
    """Return the Arguments left after dropping a pasted `vllm serve`; SettingsError for docker run."""
    rest, dropped = list(tokens), list[str]()
    while rest and (count := _leading(rest)):
        dropped += rest[:count]
        del rest[:count]
        if len(rest) == 1 and _program(dropped[-2:][0]) in _SHELLS:
            rest = list(read_line(rest[0], place=place).tokens)
    if rest and _program(rest[0]) in _CONTAINERS:
        raise _container(rest, place)
    if rest and _sets_variable(rest[0]):
        raise _variable(rest, place)
    if rest[:1] == [_END] and rest[1:] and rest[1].startswith("-"):
        del rest[0]
        return Arguments(tokens=tuple(rest), notes=(f'the "{_END}" before the options is left out',))
    if not dropped:
        return Arguments(tokens=tuple(rest))
    note = f'"{joined(dropped)}" is left out: the launcher starts the engine'
    return Arguments(tokens=_model_first(rest), notes=(note,))


def _leading(words: Sequence[str]) -> int:
    """Return how many words at the front only start the program, such as 3 for `python -m vllm`; or 0."""
    name = _program(words[0])
    if name in _SHELLS:
        return 2 if len(words) > 1 and _SHELL_COMMAND.fullmatch(words[1]) else 0
    if _PYTHON.fullmatch(name):
        at = next((n for n, word in enumerate(words[1:4], 1) if word == "-m"), len(words))
        return at + 2 if words[at + 1 : at + 2] and words[at + 1] in _SERVERS else 0
    return 1 if name in _WRAPPERS else 0


def _program(word: str) -> str:
    """Return the word without its directory if that is a bin directory; else the word unchanged."""
    directory, slash, name = word.rpartition("/")
    return name if slash and directory.rpartition("/")[2] == "bin" else word


def _sets_variable(word: str) -> bool:
    """Return True if the word is `export`, `env` or NAME=value."""
    return word in ("export", "env") or bool(ASSIGNMENT.fullmatch(word))


def _model_first(words: Sequence[str]) -> tuple[str, ...]:
    """Return the words as a tuple, the value of `--model` moved to the front; unchanged without `--model`."""
    for at, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag == "--model" and (equals or at + 1 < len(words)):
            model = value if equals else words[at + 1]
            return (model, *words[:at], *words[at + (1 if equals else 2) :])
    return tuple(words)


def _container(words: Sequence[str], place: str) -> SettingsError:
    """Return (not raise) the SettingsError for `docker run …`, with the arguments after the image as hint."""
    image = next((n for n, word in enumerate(words) if _is_image(word, words[n - 1])), len(words))
    behind = joined(mask_argv(words[image + 1 :]))
    return SettingsError(
        f'cannot use "{joined(words[:2])} …" from {place}: it starts a container, and this is inside of one',
        hint=behind or "what stands behind the image's name, and nothing else",
    )


def _is_image(word: str, before: str) -> bool:
    """Return True if `word` of a docker command is the image's name, judged also by the word before it."""
    is_value = before.startswith("-") and "=" not in before and before not in _SWITCHES
    return bool(_IMAGE.fullmatch(word)) and not is_value


def _variable(words: Sequence[str], place: str) -> SettingsError:
    """Return (not raise) the SettingsError for the first NAME=value among the words."""
    word = next((word for word in words if ASSIGNMENT.fullmatch(word)), words[0])
    return variable_among_arguments(word, place)


def variable_among_arguments(word: str, place: str) -> SettingsError:
    """Return (not raise) the SettingsError for `NAME=value` in place of an argument."""
    name = word.partition("=")[0]
    return SettingsError(
        f'cannot use "{name}=…" from {place}: it sets a variable of the environment, and is no argument',
        hint=f"{name}=… among the variables of the container, as by docker run -e {name}=…",
    )
