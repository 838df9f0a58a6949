"""Resolve TLS: which files nginx serves it with, and whether clients need a certificate."""

from pathlib import Path

from nim.errors import SettingsError
from nim.plan import Tls
from nim.settings import Settings

_VARIABLES = {
    "ssl_key_path": "NIM_SSL_KEY_PATH",
    "ssl_certs_path": "NIM_SSL_CERTS_PATH",
    "ssl_ca_certs_path": "NIM_SSL_CA_CERTS_PATH",
}


def decide_tls(settings: Settings) -> tuple[Tls | None, tuple[str, ...]]:
    """Return (Tls with absolute paths, or None if off; warnings). SettingsError if a path is not named.

    SettingsError if a file is not named, or if files are named and the mode is not.
    """
    if settings.ssl_mode == "DISABLED":
        _check_unused(settings)
        return None, ()
    mutual = settings.ssl_mode == "MTLS"
    tls = Tls(
        certificates=_path(settings, "ssl_certs_path"),
        key=_path(settings, "ssl_key_path"),
        client_authorities=_path(settings, "ssl_ca_certs_path") if mutual else None,
    )
    return tls, tuple(_warnings(settings, mutual=mutual))


def _check_unused(settings: Settings) -> None:
    """Raise SettingsError if TLS files are named and NIM_SSL_MODE is not set; else return None."""
    given = [variable for field, variable in _VARIABLES.items() if getattr(settings, field)]
    if given and not settings.given("ssl_mode"):
        mode = "MTLS" if settings.ssl_ca_certs_path else "TLS"
        raise SettingsError(
            f"cannot use {given[0]} (from the environment): NIM_SSL_MODE is not set, so nothing would be "
            "encrypted",
            hint=f"NIM_SSL_MODE={mode}, or NIM_SSL_MODE=DISABLED",
        )


def _path(settings: Settings, field: str) -> str:
    """Return a TLS setting's path made absolute; SettingsError if it is not set. The file is not opened."""
    variable = _VARIABLES[field]
    if path := getattr(settings, field):
        return str(Path(path).absolute())  # links stay: Kubernetes swaps them to renew a Secret's files
    raise SettingsError(
        f"cannot use NIM_SSL_MODE '{settings.ssl_mode}' (from the environment): {variable} is not set",
        hint=f"{variable}=/path/to/{field.split('_')[1]}.pem",
    )


def _warnings(settings: Settings, *, mutual: bool) -> list[str]:
    """Return warnings about client authorities without effect and probes without a certificate."""
    found = []
    if settings.ssl_ca_certs_path and not mutual:
        found.append(
            "NIM_SSL_CA_CERTS_PATH is without effect in NIM_SSL_MODE 'TLS': clients need no certificate"
        )
    if mutual and settings.health_port in (None, settings.server_port):
        found.append("probes need a client certificate, which kubelet has not: set NIM_HEALTH_PORT")
    return found
