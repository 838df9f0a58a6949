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
    """Return the VLLM_* variables that Kubernetes set for a service; they must not reach the engine."""
    return tuple(sorted(name for name, value in env.items() if _is_service_link(name, value)))


def check_variables(env: Mapping[str, str], table: OptionTable) -> tuple[str, ...]:
    """Return a warning for each VLLM_* variable that this release of the engine does not know."""
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
    """Return a warning for VLLM_* variables of a profile or of the model's file that are no longer read.

    They may be meant for other releases. `check_variables` covers those of the environment.
    """
    unread: dict[str, list[str]] = {}
    for name in sorted(name for name in config if name.startswith(PREFIX) and name not in table.variables):
        origin = config[name].origin
        if origin.layer in (Layer.PROFILE, Layer.RUNTIME_CONFIG):
            why = _replaced(name, config, table) or _unknown(name, table)
            unread.setdefault(f"from {origin.place}: without effect; {why}", []).append(name)
    return tuple(f"{', '.join(names)} {why}" for why, names in unread.items())


def _engine_names(env: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the engine's variables."""
    return tuple(name for name in env if name.startswith(PREFIX))


def _is_service_link(name: str, value: str) -> bool:
    """Return whether Kubernetes set this variable for a service."""
    if not name.startswith(PREFIX):
        return False
    return bool(_SERVICE_NAME.fullmatch(name) or (_SERVICE_VALUE.match(value) and name.endswith("_PORT")))


def _replaced(name: str, config: Mapping[str, Value], table: OptionTable) -> str | None:
    """Return the remark that the option which replaces this variable is set; None if it is not."""
    gone = table.gone_variables.get(name)
    found = table.find(re.split(r"[ ,]", gone.use)[0]) if gone and gone.use else None
    value = config.get(found[0].name) if found else None
    if gone is None or found is None or value is None:
        return None
    return (
        f"in vLLM {table.version} {found[0].flag} {value.value} stands for it (last seen in {gone.last_seen})"
    )


def _warning(name: str, table: OptionTable) -> str:
    """Return the warning for a variable that the engine does not read."""
    return f"{name}: {_unknown(name, table)}"


def _unknown(name: str, table: OptionTable) -> str:
    """Return why the engine does not read a variable, with the replacement."""
    if gone := table.gone_variables.get(name):
        instead = f"; use {gone.use}" if gone.use else ""
        return f"vLLM {table.version} no longer has it (last seen in {gone.last_seen}){instead}"
    near = nearest(name, tuple(table.variables), 1)
    return f"vLLM {table.version} does not know it" + (f"; the nearest is {near[0]}" if near else "")
