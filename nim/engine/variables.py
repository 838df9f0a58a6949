"""The engine's own environment variables: misspelt ones, ones of earlier releases, and Kubernetes' strays."""

import re
from collections.abc import Mapping

from nim.engine.table import OptionTable
from nim.errors import nearest

PREFIX = "VLLM_"
# A service named vllm… makes Kubernetes set VLLM_…_SERVICE_HOST, VLLM_…_PORT=tcp://… and so on in every pod.
_SERVICE_NAME = re.compile(r"VLLM(_\w+)?_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")
_QUOTED = re.compile(r"\s*(['\"]).*\1\s*", re.DOTALL)
_SERVICE_VALUE = re.compile(r"(tcp|udp|sctp)://")


def service_links(env: Mapping[str, str]) -> tuple[str, ...]:
    """The VLLM_* variables that Kubernetes set for a service; the engine must not be given them."""
    return tuple(sorted(name for name, value in env.items() if _is_service_link(name, value)))


def check_variables(env: Mapping[str, str], table: OptionTable) -> tuple[str, ...]:
    """A warning for each VLLM_* variable that this release of the engine does not know."""
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


def _engine_names(env: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(name for name in env if name.startswith(PREFIX))


def _is_service_link(name: str, value: str) -> bool:
    if not name.startswith(PREFIX):
        return False
    return bool(_SERVICE_NAME.fullmatch(name) or (_SERVICE_VALUE.match(value) and name.endswith("_PORT")))


def _warning(name: str, table: OptionTable) -> str:
    if gone := table.gone_variables.get(name):
        instead = f"; use {gone.use}" if gone.use else ""
        return f"{name}: vLLM {table.version} no longer has it (last seen in {gone.last_seen}){instead}"
    near = nearest(name, tuple(table.variables), 1)
    return f"{name}: vLLM {table.version} does not know it" + (f"; the nearest is {near[0]}" if near else "")
