"""Check the engine's environment variables: misspelt ones, removed ones, and those that Kubernetes adds."""

import re
from collections.abc import Mapping

from nim.engine.option_table import OptionTable
from nim.errors import nearest
from nim.value_origins import Layer, Value

PREFIX = "VLLM_"
# A service named vllm… makes Kubernetes set VLLM_…_SERVICE_HOST, VLLM_…_PORT=tcp://… etc. in every pod.
_SERVICE_NAME = re.compile(r"VLLM(_\w+)?_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")
_QUOTED = re.compile(r"\s*(['\"]).*\1\s*", re.DOTALL)
_SERVICE_VALUE = re.compile(r"(tcp|udp|sctp)://")


def service_links(env: Mapping[str, str]) -> tuple[str, ...]:
    """Return sorted names of VLLM_* variables that Kubernetes set for a service named vllm."""
    return tuple(sorted(name for name, value in env.items() if _is_service_link(name, value)))


def variable_warnings(env: Mapping[str, str], table: OptionTable) -> tuple[str, ...]:
    """Return warnings about unknown, quoted and Kubernetes' VLLM_* variables in `env`; never raises."""
    strays = service_links(env)
    unknown = sorted(set(_engine_names(env)) - table.variables.keys() - set(strays))
    warnings = [_warning(name, table) for name in unknown]
    warnings += [
        f"{name}: the quotes around its value, which `docker --env-file` keeps, are in it; leave them out"
        for name in sorted(_engine_names(env))
        if _QUOTED.fullmatch(env[name])
    ]
    if strays:
        warnings.append(
            f"ignoring {', '.join(strays)}: Kubernetes set them for a service of that name; "
            "enableServiceLinks: false in the pod keeps them away"
        )
    return tuple(warnings)


def unread_variables(config: Mapping[str, Value], table: OptionTable) -> tuple[str, ...]:
    """Return warnings about VLLM_* variables of profile or runtime_config.json that vLLM does not read.

    They may be meant for other releases. `variable_warnings` covers those of the environment.
    """
    unread: dict[str, list[str]] = {}
    for name in sorted(name for name in config if name.startswith(PREFIX) and name not in table.variables):
        origin = config[name].origin
        if origin.layer in (Layer.PROFILE, Layer.RUNTIME_CONFIG):
            why = _replaced(name, config, table) or _unknown(name, table)
            unread.setdefault(f"from {origin.place}: without effect; {why}", []).append(name)
    return tuple(f"{', '.join(names)} {why}" for why, names in unread.items())


def _engine_names(env: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names in `env` that begin with VLLM_, as a tuple."""
    return tuple(name for name in env if name.startswith(PREFIX))


def _is_service_link(name: str, value: str) -> bool:
    """Return True if name and value are those that Kubernetes sets for a service."""
    if not name.startswith(PREFIX):
        return False
    return bool(_SERVICE_NAME.fullmatch(name) or (_SERVICE_VALUE.match(value) and name.endswith("_PORT")))


def _replaced(name: str, config: Mapping[str, Value], table: OptionTable) -> str | None:
    """Return a remark that the option replacing this variable is set; None if it is not."""
    gone = table.gone_variables.get(name)
    found = table.find(re.split(r"[ ,]", gone.use)[0]) if gone and gone.use else None
    value = config.get(found[0].name) if found else None
    if gone is None or found is None or value is None:
        return None
    return (
        f"in vLLM {table.version} {found[0].flag} {value.value} stands for it (last seen in {gone.last_seen})"
    )


def _warning(name: str, table: OptionTable) -> str:
    """Return the warning about a variable that vLLM does not read, as text."""
    return f"{name}: {_unknown(name, table)}"


def _unknown(name: str, table: OptionTable) -> str:
    """Return why vLLM does not read a variable, as text: removed, with its replacement, or unknown."""
    if gone := table.gone_variables.get(name):
        instead = f"; use {gone.use}" if gone.use else ""
        return f"vLLM {table.version} no longer has it (last seen in {gone.last_seen}){instead}"
    near = nearest(name, tuple(table.variables), 1)
    return f"vLLM {table.version} does not know it" + (f"; the nearest is {near[0]}" if near else "")
