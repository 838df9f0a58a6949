"""Resolve CORS: which pages in browsers may use the service, from settings and the engine's own options.

nginx answers for the whole service. The engine's options of CORS are the gateway's rule and not passed on.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NoReturn

from nim.errors import SettingsError
from nim.gateway_plan import Cors
from nim.options.parse_cors_words import (
    ANY,
    LOCAL,
    METHODS,
    NONE,
    CorsWordError,
    header_names,
    method_names,
    origins_of,
)
from nim.settings import Settings
from nim.value_origins import Layer, Origin, Value

# The engine's option and the variable that sets it.
CORS_OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "allowed_origins": "NIM_CORS_ALLOW_ORIGINS",
        "allowed_methods": "NIM_CORS_ALLOW_METHODS",
        "allowed_headers": "NIM_CORS_ALLOW_HEADERS",
        "allow_credentials": "NIM_CORS_ALLOW_CREDENTIALS",
    }
)
USUAL_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")


def decide_cors(
    settings: Settings, config: Mapping[str, Value], *, mutual_tls: bool, keys: bool
) -> tuple[Cors, tuple[str, ...]]:
    """Return (Cors, warnings); SettingsError for an invalid origin, method or header, and for `*` with cookies.

    With mutual TLS no page is allowed unless asked for, since a preflight has no client certificate.
    """
    usual = (NONE,) if mutual_tls else (LOCAL,)
    cors = Cors(
        origins=_read(config, "allowed_origins", usual),
        methods=_read(config, "allowed_methods", USUAL_METHODS),
        headers=_read(config, "allowed_headers", (ANY,)),
        exposed_headers=_exposed(settings),
        max_age_seconds=int(settings.cors_max_age),
        credentials="allow_credentials" in config and bool(config["allow_credentials"].value),
    )
    if cors.credentials:
        _refuse_credentials_for_any(cors, config)
    return cors, tuple(_warnings(cors, config, keys=keys))


def _read(config: Mapping[str, Value], option: str, usual: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words of one of the engine's options, checked and as browsers write them."""
    value = config.get(option)
    words = tuple(map(str, value.value)) if value and isinstance(value.value, list | tuple) else usual
    try:
        match option:
            case "allowed_origins":
                return origins_of(words)
            case "allowed_methods":
                return method_names(words)
        return header_names(words)
    except CorsWordError as error:
        _refuse(option, value.origin if value else None, error)


def _exposed(settings: Settings) -> tuple[str, ...]:
    """Return the names of the headers that pages may read; SettingsError for one that is no header's name."""
    try:
        return header_names(settings.cors_expose_headers)
    except CorsWordError as error:
        raise SettingsError(
            f"cannot use NIM_CORS_EXPOSE_HEADERS '{error.word}' (from the environment): {error.reason}",
            hint="NIM_CORS_EXPOSE_HEADERS=X-Request-Id,Retry-After",
        ) from None


def _refuse(option: str, origin: Origin | None, error: CorsWordError) -> NoReturn:
    """Raise SettingsError for one word of an option."""
    said = _said(option, error.word, origin)
    hint = f"{CORS_OPTIONS[option]}={error.instead}" if error.instead else f"nim settings {CORS_OPTIONS[option]}"
    allowed = METHODS if option == "allowed_methods" else ()
    raise SettingsError(f"cannot use {said}: {error.reason}", allowed=allowed, hint=hint) from None


def _said(option: str, word: str, origin: Origin | None) -> str:
    """Return text that names a value by the variable or the flag, and where it was found."""
    place = origin.place if origin else ""
    if origin is None or (origin.layer is Layer.ENV and place == CORS_OPTIONS[option]):
        return f"{CORS_OPTIONS[option]} '{word}' (from the environment)"
    return f"--{option.replace('_', '-')} '{word}' (from {place})"


def _refuse_credentials_for_any(cors: Cors, config: Mapping[str, Value]) -> None:
    """Raise SettingsError if pages of any origin, or any header, are allowed together with credentials."""
    said = _said("allow_credentials", "1", config["allow_credentials"].origin)
    if ANY in cors.origins:
        raise SettingsError(
            f"cannot use {said} with the origin '*': with cookies or client certificates, browsers accept only "
            "an answer that names the page's origin",
            hint="NIM_CORS_ALLOW_ORIGINS=https://app.example",
        )
    if ANY in cors.exposed_headers:
        raise SettingsError(
            f"cannot use {said} with NIM_CORS_EXPOSE_HEADERS '*': with credentials, browsers take it for a name",
            hint="NIM_CORS_EXPOSE_HEADERS=X-Request-Id,Retry-After",
        )


def _warnings(cors: Cors, config: Mapping[str, Value], *, keys: bool) -> Sequence[str]:
    """Return a warning if any page may use a service that asks for no key."""
    if ANY not in cors.origins or keys:
        return []
    said = _said("allowed_origins", ANY, config["allowed_origins"].origin)
    return [
        f"{said}: any web page that someone opens who can reach this service may use it and read the answers, since "
        "no API keys are set; name the origins, or set NIM_API_KEYS_FILE"
    ]
