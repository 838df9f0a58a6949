"""The flags of the toolkit's server, as the variables that stand for them here."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from nim.errors import SettingsError

FLAGS: Mapping[str, str] = MappingProxyType(
    {
        "--config_file": "NIM_AGENT_CONFIG",
        "--scheduler_address": "NIM_AGENT_SCHEDULER_ADDRESS",
        "--db_url": "NIM_AGENT_DB_URL",
        "--max_concurrent_jobs": "NIM_AGENT_MAX_CONCURRENT_JOBS",
        "--max_running_async_jobs": "NIM_AGENT_MAX_CONCURRENT_JOBS",
        "--dask_workers": "NIM_AGENT_DASK_WORKERS",
        "--dask_log_level": "NIM_AGENT_DASK_LOG_LEVEL",
    }
)


def take_agent_flags(
    arguments: Sequence[str], environ: Mapping[str, str]
) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Return (arguments without the agent's flags, environment with their values); SettingsError without one.

    The names have underscores, as the toolkit's do and the engine's do not.
    """
    rest: list[str] = []
    given: dict[str, str] = {}
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if name not in FLAGS:
            rest.append(word)
            continue
        value = value if equals else next(words, "")
        if not value or (not equals and value.startswith("--")):
            raise SettingsError(f"cannot use {name} without a value", hint=f"{name} …, or {FLAGS[name]}=…")
        given[FLAGS[name]] = value
    return tuple(rest), {**environ, **given} if given else environ
