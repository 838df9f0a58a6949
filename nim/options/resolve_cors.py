"""Resolve CORS: which pages in browsers may use the service, from settings and the engine's own options.

nginx answers for the whole service: the engine's options of CORS become its rule, and are not passed on.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from nim.errors import SettingsError
from nim.options.parse_cors_words import (
    ANY,
    LOCAL,
    NONE,
    CorsWordError,
    header_names,
    method_names,
    origins_of,
)
from nim.plan import Cors
from nim.settings import Settings
from nim.value_origins import Layer, Value

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
_READERS = {"allowed_origins": origins_of, "allowed_methods": method_names, "allowed_headers": header_names}


def decide_cors(
    settings: Settings, config: Mapping[str, Value], *, mutual_tls: bool, keys: bool
) -> tuple[Cors, tuple[str, ...]]:
    """Return (Cors, warnings); SettingsError for an invalid word, and for credentials without named origins.

    With mutual TLS no page is allowed unless asked for, since a preflight has no client certificate.
    """
    credentials = config.get("allow_credentials")
    cors = Cors(
        origins=_read("allowed_origins", config, (NONE if mutual_tls else LOCAL,)),
        methods=_read("allowed_methods", config, USUAL_METHODS),
        headers=_read("allowed_headers", config, (ANY,)),
        exposed_headers=_exposed_headers(settings),
        max_age_seconds=int(settings.cors_max_age),
        credentials=credentials is not None and bool(credentials.value),
    )
    if credentials and cors.credentials:
        _refuse_any_with_credentials(cors, _said("allow_credentials", "1", credentials))
    return cors, tuple(_warnings(cors, config, keys=keys))


def _read(option: str, config: Mapping[str, Value], usual: tuple[str, ...]) -> tuple[str, ...]:
    """Return the checked words of one of the engine's options, `usual` if it is not set; or SettingsError."""
    value = config.get(option)
    if value is None:
        return _READERS[option](usual)
    words = value.value if isinstance(value.value, list | tuple) else [value.value]
    try:
        return _READERS[option]([str(word) for word in words])
    except CorsWordError as error:
        said = _said(option, error.word, value)
        raise SettingsError(f"cannot use {said}: {error}", hint=_hint(option, error, value)) from None


def _said(option: str, word: str, value: Value) -> str:
    """Return text that names a word by its variable or flag, and where that was found."""
    if _is_from_variable(option, value):
        return f"{CORS_OPTIONS[option]} {word!r} (from the environment)"
    return f"{_flag(option)} {word!r} (from {value.origin.place})"


def _hint(option: str, error: CorsWordError, value: Value) -> str:
    """Return what to type: the right word as its variable or flag takes it, else a command that explains."""
    if not error.instead:
        return f"nim settings {CORS_OPTIONS[option]}"
    if _is_from_variable(option, value):
        return f"{CORS_OPTIONS[option]}={error.instead}"
    return f"""{_flag(option)} '["{error.instead}"]'"""


def _is_from_variable(option: str, value: Value) -> bool:
    """Return whether the option's NIM_* variable set it."""
    return value.origin.layer is Layer.ENV and value.origin.place == CORS_OPTIONS[option]


def _flag(option: str) -> str:
    """Return the engine's flag of an option."""
    return f"--{option.replace('_', '-')}"


def _exposed_headers(settings: Settings) -> tuple[str, ...]:
    """Return the names of the headers that pages may read; SettingsError for a word that is none."""
    try:
        return header_names(settings.cors_expose_headers)
    except CorsWordError as error:
        raise SettingsError(
            f"cannot use NIM_CORS_EXPOSE_HEADERS {error.word!r} (from the environment): {error}",
            hint="nim settings NIM_CORS_EXPOSE_HEADERS",
        ) from None


def _refuse_any_with_credentials(cors: Cors, said: str) -> None:
    """Raise SettingsError if origins that are not named, or any header, go together with credentials."""
    for word in (ANY, LOCAL):
        if word in cors.origins:
            raise SettingsError(
                f"cannot use {said} with the origin '{word}': only pages whose origin is named may send "
                "cookies and client certificates",
                hint="NIM_CORS_ALLOW_ORIGINS=https://app.example",
            )
    if ANY in cors.exposed_headers:
        raise SettingsError(
            f"cannot use {said} with NIM_CORS_EXPOSE_HEADERS '*': browsers then take it for a header's name",
            hint="NIM_CORS_EXPOSE_HEADERS=X-Request-Id,Retry-After",
        )


def _warnings(cors: Cors, config: Mapping[str, Value], *, keys: bool) -> Iterator[str]:
    """Yield a warning if pages of any origin may use a service that asks for no key."""
    if ANY in cors.origins and not keys:
        said = _said("allowed_origins", ANY, config["allowed_origins"])
        yield (
            f"{said}: every web page can use this service through a browser that reaches it, because "
            "no API keys are set; name the origins, or set NIM_API_KEYS_FILE"
        )
