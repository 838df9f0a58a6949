"""Resolve API keys and limits: where keys come from, which routes need none, and what each may do."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from nim.errors import SettingsError, nearest
from nim.plan import ApiKeys, Limits
from nim.routes import ROUTES, Group
from nim.settings import Settings
from nim.value_origins import Value

KEY_VARIABLE = "VLLM_API_KEY"
LUA_PACKAGE = "libnginx-mod-http-lua"


def decide_api_keys(
    settings: Settings, config: Mapping[str, Value], nginx_modules: Sequence[str]
) -> tuple[ApiKeys | None, tuple[str, ...]]:
    """Return (ApiKeys or None, warnings); a key file without nginx's Lua module is a SettingsError.

    Without nginx's Lua module, a VLLM_API_KEY is left to the engine, and a file of keys is refused.
    """
    single = config.get(KEY_VARIABLE)
    has_single = single is not None and bool(single.value)
    if not settings.api_keys_file and not has_single:
        _check_unused(settings)
        return None, ()
    if not nginx_modules:
        return None, _without_module(settings)
    keys = ApiKeys(
        file=str(Path(settings.api_keys_file).absolute()) if settings.api_keys_file else None,
        from_environment=has_single,
        exempt=_exempt(settings.api_keys_exempt),
        nginx_modules=tuple(nginx_modules),
    )
    return keys, tuple(_warnings(settings))


def decide_limits(settings: Settings, *, keys: bool) -> Limits:
    """Return the request Limits; SettingsError for a limit per key where requests need no key."""
    per_key = {
        "NIM_MAX_REQUESTS_PER_KEY": settings.max_requests_per_key,
        "NIM_RATE_PER_KEY": settings.rate_per_key,
    }
    for variable, value in per_key.items():
        if value and not keys:
            raise SettingsError(
                f"cannot use {variable} '{value}' (from the environment): requests need no API key",
                hint="NIM_API_KEYS_FILE=/path/to/keys, or NIM_MAX_REQUESTS for all requests together",
            )
    return Limits(
        requests=settings.max_requests,
        requests_per_key=settings.max_requests_per_key,
        rate_per_key=settings.rate_per_key,
    )


def _check_unused(settings: Settings) -> None:
    """Raise SettingsError if NIM_API_KEYS_EXEMPT is set although requests need no key; else return None."""
    if settings.api_keys_exempt:
        raise SettingsError(
            "cannot use NIM_API_KEYS_EXEMPT (from the environment): requests need no API key",
            hint="NIM_API_KEYS_FILE=/path/to/keys",
        )


def _without_module(settings: Settings) -> tuple[str, ...]:
    """Return (warning that vLLM alone checks VLLM_API_KEY,); SettingsError for a file of keys."""
    if settings.api_keys_file:
        raise SettingsError(
            f"cannot use NIM_API_KEYS_FILE '{settings.api_keys_file}' (from the environment): nginx's Lua "
            "module, which checks keys, is not installed",
            hint=f"apt-get install {LUA_PACKAGE}",
        )
    warning = (
        f"{KEY_VARIABLE} guards only the routes that the engine guards, such as /v1/…, because nginx's Lua "
        f"module is not installed: apt-get install {LUA_PACKAGE}"
    )
    return (warning,)


def _exempt(names: Sequence[str]) -> tuple[str, ...]:
    """Return `names` as a tuple; SettingsError for one that is no route group and no path."""
    known = sorted({*map(str, Group), *(route.path for route in ROUTES)} - {Group.HIDDEN})
    for name in names:
        if name not in known:
            raise SettingsError(
                f"cannot use NIM_API_KEYS_EXEMPT '{name}' (from the environment): it is no route and no "
                "group of routes",
                allowed=nearest(name, known) or tuple(map(str, Group)),
                hint="nim routes",
            )
    return tuple(names)


def _warnings(settings: Settings) -> list[str]:
    """Return a list of one warning if the engine has a TCP port, which asks for no key; else []."""
    if settings.backend_port:
        return [f"the engine's own port {settings.backend_port} asks local users for no API key"]
    return []
