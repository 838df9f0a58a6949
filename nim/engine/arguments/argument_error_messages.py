"""Refusals of engine arguments: each with its reason and the corrected argument."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from nim.engine.arguments.quoting import TYPOGRAPHIC, joined, plain_dashes
from nim.engine.arguments.read_numbers_and_names import MisfitError
from nim.engine.option_table import Gone, Kind, Option, OptionTable
from nim.errors import SettingsError, nearest
from nim.frozen_dataclass import frozen_dataclass
from nim.redact import MASK, is_secret_name, mask_argv

# Options that the launcher sets itself, by name, and the setting to use instead.
OWNED: Mapping[str, str] = MappingProxyType(
    {
        "config": "NIM_PASSTHROUGH_ARGS, or runtime_config.json in the model's directory",
        "grpc": "nothing: the gateway needs the engine's HTTP server",
        "headless": "nothing: the gateway needs the engine's HTTP server",
        "help": "vllm serve --help=all",
        "host": "NIM_SERVER_PORT for the service; the engine listens for the gateway alone",
        "model": "NIM_MODEL_PATH",
        "port": "NIM_SERVER_PORT for the service, NIM_BACKEND_PORT for the engine behind it",
        "served_model_name": "NIM_SERVED_MODEL_NAME",
        "ssl_ca_certs": "a TLS proxy in front of the service",
        "ssl_cert_reqs": "a TLS proxy in front of the service",
        "ssl_certfile": "a TLS proxy in front of the service",
        "ssl_keyfile": "a TLS proxy in front of the service",
        "uds": "NIM_BACKEND_PORT for a TCP port; the engine's socket has a path of its own",
    }
)

_SEPARATORS = ";,&|"
_UNCHECKED = "NIM_STRICT_ARGS=0 passes it on unchecked"
# Options before the image's name in `docker run` that are not also options of the engine.
DOCKER = frozenset(
    {
        *("--gpus", "--runtime", "--ipc", "--shm-size", "--ulimit", "--network", "--net", "--publish", "-p"),
        *(
            "--volume",
            "-v",
            "--mount",
            "--env",
            "-e",
            "--env-file",
            "--rm",
            "-d",
            "--detach",
            "-it",
            "--name",
        ),
        *("--restart", "--privileged", "--cap-add", "--device", "--entrypoint", "--user", "-u", "--memory"),
    }
)
_MAX_LISTED = 8
_ALIKE = 0.7


@frozen_dataclass
class Refusal:
    """One argument that cannot be used: `message` begins with "cannot"."""

    message: str
    allowed: tuple[str, ...] = ()
    hint: str | None = None

    def __str__(self) -> str:
        return str(SettingsError(self.message, allowed=self.allowed, hint=self.hint))

    def one_line(self) -> str:
        """Return the refusal as one line of text for a warning: message, allowed values, hint."""
        allowed = f"; allowed here: {', '.join(self.allowed)}" if self.allowed else ""
        hint = f"; hint: {self.hint}" if self.hint and _UNCHECKED not in self.hint else ""
        return f"{self.message}{allowed}{hint}"


def refuse_all(refusals: Sequence[Refusal], place: str) -> SettingsError:
    """Return (not raise) one SettingsError that lists all `refusals` of arguments from one place."""
    if len(refusals) == 1:
        only = refusals[0]
        return SettingsError(only.message, allowed=only.allowed, hint=only.hint)
    lines = [line for refusal in refusals for line in str(refusal).splitlines()]
    return SettingsError(
        "\n".join([f"cannot use {len(refusals)} arguments from {place}:", *(f"  {line}" for line in lines)])
    )


def owned(option: Option, said: str, place: str) -> Refusal:
    """Return the Refusal of an option that the launcher sets itself, with the setting to use instead."""
    return Refusal(
        message=f'cannot set "{said}" in {place}: the launcher sets it itself', hint=OWNED[option.name]
    )


def unknown(said: str, flag: str, table: OptionTable, place: str) -> Refusal:
    """Return the Refusal of an option that vLLM does not have: removed, abbreviated or misspelled."""
    if gone := table.gone.get(flag):
        return _removed(said, gone, table, place)
    if longer := table.starting_with(flag) if len(flag) > len("--") else ():
        return _cut_short(said, longer, place)
    if flag in DOCKER:
        return Refusal(
            message=f'cannot pass "{said}" from {place}: it is an option of docker run, not of the engine',
            hint="before the image's name, where docker reads it",
        )
    if set(flag) & set(TYPOGRAPHIC) and (option := table.find(plain_dashes(flag))):
        message = f'cannot pass "{said}" from {place}: a dash in it is a typographic one'
        return Refusal(message=message, hint=option[0].flag)
    bare = {spelling.lstrip("-"): spelling for spelling in table.spellings}
    near = tuple(bare[name] for name in _alike(flag.lstrip("-"), bare)) or _by_words(flag, table)
    return Refusal(
        message=f'cannot pass "{said}" from {place}: vLLM {table.version} has no such option',
        hint=near[0] if near else f"vllm serve --help=all lists them; {_UNCHECKED}",
    )


def unknown_name(name: str, table: OptionTable, place: str) -> Refusal:
    """Return the Refusal of an unknown option's name (max_model_len), as a key of a file gives it."""
    if gone := table.gone.get("--" + name.replace("_", "-")):
        return _removed(name, gone, table, place)
    near = _alike(name.replace("-", "_"), table.options)
    return Refusal(
        message=f'cannot use "{name}" from {place}: vLLM {table.version} has no such option',
        hint=near[0] if near else f"vllm serve --help=all lists them; {_UNCHECKED}",
    )


def misfit(said: str, option: Option, why: MisfitError, place: str, text: str = "") -> Refusal:
    """Return the Refusal of an option's invalid value; `said` is the option as written, flag or key."""
    return Refusal(
        message=f'cannot use the value of "{said}" from {place}: {why.reason}',
        allowed=why.allowed,
        hint=_written(said, option, why.write) or _apart(said, text),
    )


def _apart(said: str, text: str) -> str | None:
    """Return a hint if `text` is `8--other` or `=`, with a blank missing or too many; None otherwise."""
    if text == "=":
        return f"{said}=…, without blanks around the ="
    value, glued, other = text.partition("--")
    value = value.rstrip(_SEPARATORS)
    return f"{said} {value} --{other}, with a blank before --{other}" if glued and value and other else None


def variable_misfit(name: str, text: str, why: MisfitError) -> Refusal:
    """Return the Refusal of a NIM_* variable's value that its engine option does not take."""
    return Refusal(
        message=f"cannot use {name} '{text}' (from the environment): {why.reason}",
        allowed=why.allowed,
        hint=f"{name}={shlex.quote(why.write)}" if why.write else f"nim settings {name}",
    )


def no_value(said: str, option: Option, dashing: str | None, place: str) -> Refusal:
    """Return the Refusal of an option without a value; `dashing` is a next token with one dash, or None."""
    meant = MASK if is_secret_name(option.name) else dashing
    hint = f"{said} {placeholder(option)}" if dashing is None else joined([f"{said}={meant}"])
    return Refusal(
        message=f'cannot use "{said}" from {place}: no value follows it',
        allowed=tuple(str(choice) for choice in option.choices),
        hint=hint,
    )


def needless_value(said: str, option: Option, place: str) -> Refusal:
    """Return the Refusal of `--flag=value` for an option that takes no value."""
    return Refusal(
        message=f'cannot use "{said}" from {place} with a value: its presence is its value',
        allowed=(option.flag, *option.negatives[:1]),
    )


def no_keys(said: str, option: Option, place: str) -> Refusal:
    """Return the Refusal of `--option.key` for an option whose value is no JSON object."""
    return Refusal(
        message=f'cannot set "{said}" in {place}: {option.flag} is not a JSON object',
        hint=f"{option.flag} {placeholder(option)}".rstrip(),
    )


def placeholder(option: Option) -> str:
    """Return the word for the value in a usage line, such as INTEGER; "" for a flag."""
    return {Kind.FLAG: "", Kind.BOOLEAN: ""}.get(option.kind, str(option.kind).upper().replace(" ", "_"))


def _removed(said: str, gone: Gone, table: OptionTable, place: str) -> Refusal:
    """Return the Refusal of an option that only earlier vLLM releases have, with its replacement."""
    return Refusal(
        message=(
            f'cannot pass "{said}" from {place}: vLLM {table.version} no longer has it'
            f" (last seen in {gone.last_seen})"
        ),
        hint=gone.use or f"remove it; {_UNCHECKED}",
    )


def _cut_short(said: str, longer: Sequence[str], place: str) -> Refusal:
    """Return the Refusal of an abbreviated option; `longer` are the options it may stand for."""
    one = len(longer) == 1
    return Refusal(
        message=f'cannot pass "{said}" from {place}: options must be written in full',
        allowed=() if one else tuple(sorted(longer)[:_MAX_LISTED]),
        hint=longer[0] if one else None,
    )


def _alike(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return a tuple with the one known name most similar to `name`; empty if none is similar enough."""
    from difflib import SequenceMatcher  # slow to import, and needed only when something is wrong

    near = nearest(name, tuple(known), 1)
    return tuple(found for found in near if SequenceMatcher(None, name, found).ratio() > _ALIKE)


def _by_words(flag: str, table: OptionTable) -> tuple[str, ...]:
    """Return the flags of options with the same words as `flag` in another order; () if none."""
    words = set(flag.strip("-").split("-"))
    return tuple(o.flag for o in table.options.values() if words == set(o.name.split("_")))


def _written(said: str, option: Option, value: str | None) -> str | None:
    """Return the corrected argument as text, `--flag value` or `key: value`; None if `value` is None."""
    if value is None:
        return None
    if not said.startswith("-"):
        return f"{said}: {value}"
    return joined(mask_argv((option.flag, value)))
