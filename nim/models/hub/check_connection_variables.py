"""Check the variables that give the hub client its address, proxy, certificates and timeouts."""

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from nim.errors import SettingsError
from nim.frozen_dataclass import frozen_dataclass
from nim.read_regular_file import read_bytes

ENDPOINT = "HF_ENDPOINT"
CERTIFICATES, CERTIFICATE_DIRECTORY = "SSL_CERT_FILE", "SSL_CERT_DIR"
# The client before its version 1 took these; its library for HTTP does not.
OTHER_CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
# The client reads them as whole numbers at its import, so no model is loaded with another value.
TIMEOUTS = ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT")
_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
_QUOTES = "'\"“”‘’"
_BEGIN = b"-----BEGIN "


@frozen_dataclass
class Proxy:
    """The proxy for a host. `address` is without user and password."""

    variable: str
    address: str
    has_user: bool


def check_hub_environment(environ: Mapping[str, str]) -> None:
    """Raise the first SettingsError for a variable with which no request can reach the hub."""
    check_timeouts(environ)
    if problem := next(hub_problems(environ), None):
        raise problem


def check_timeouts(environ: Mapping[str, str]) -> None:
    """Raise SettingsError for a timeout that is no whole number: importing the hub client would fail."""
    for name in (name for name in TIMEOUTS if name in environ):
        try:
            int(environ[name])
        except ValueError:
            message = f"cannot use {name} '{environ[name]}' (from the environment): expected whole seconds"
            raise SettingsError(message, hint=f"{name}=10, or unset {name}") from None


def hub_problems(environ: Mapping[str, str]) -> Iterator[SettingsError]:
    """Yield a SettingsError, not raised, per faulty variable: certificates, address, proxies."""
    yield from _certificate_problems(environ)
    yield from _endpoint_problems(environ.get(ENDPOINT, ""))
    for scheme in ("https", "http", "all"):
        for name in (f"{scheme.upper()}_PROXY", f"{scheme}_proxy"):
            yield from _proxy_problems(name, environ.get(name, ""))


def proxy_for(url: str, environ: Mapping[str, str]) -> Proxy | None:
    """Return the `Proxy` that the client uses for this URL by `environ`; None for a direct connection."""
    parts = urlsplit(url)
    variable, value = proxy_variable(parts.scheme, environ)
    if not value or _is_bypassed(parts.hostname or "", environ):
        return None
    proxy = urlsplit(value if "://" in value else f"http://{value}")
    return Proxy(variable=variable, address=without_user(proxy), has_user=bool(proxy.username))


def proxy_variable(scheme: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return name and value of the variable that sets the scheme's proxy; ("", "") if none is set."""
    for one in (scheme, "all"):
        for name in (f"{one}_proxy", f"{one.upper()}_PROXY"):
            if environ.get(name):
                return name, environ[name]
    return "", ""


def without_user(parts: SplitResult) -> str:
    """Return the URL `scheme://host[:port]`, without user, password and path."""
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}"


def _is_bypassed(host: str, environ: Mapping[str, str]) -> bool:
    """Return whether NO_PROXY in `environ` names the host or its domain."""
    listed = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    names = [name.strip().lower().removeprefix("*").lstrip(".") for name in listed.split(",") if name.strip()]
    return any(not name or host == name or host.endswith(f".{name}") for name in names)


def _certificate_problems(environ: Mapping[str, str]) -> Iterator[SettingsError]:
    """Yield a SettingsError, not raised, for certificate variables; reads the file they name."""
    if name := environ.get(CERTIFICATES, ""):
        if why := _no_certificates(Path(name)):
            message = f"cannot use {CERTIFICATES} '{name}' (from the environment): {why}"
            yield SettingsError(message, hint=f"ls -l '{name}'; unset {CERTIFICATES} for the system's own")
    elif (name := environ.get(CERTIFICATE_DIRECTORY, "")) and not Path(name).is_dir():
        message = f"cannot use {CERTIFICATE_DIRECTORY} '{name}' (from the environment)"
        yield SettingsError(f"{message}: there is no such directory", hint=f"unset {CERTIFICATE_DIRECTORY}")


def _no_certificates(path: Path) -> str | None:
    """Return why no PEM certificate can be read from the file (text); None if one can."""
    try:
        text = read_bytes(path)
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None if _BEGIN in text else "no certificate is in it (in PEM form, -----BEGIN CERTIFICATE-----)"


def _endpoint_problems(value: str) -> Iterator[SettingsError]:
    """Yield the SettingsError, not raised, for a faulty HF_ENDPOINT; nothing if it is empty."""
    bare = value.strip().strip(_QUOTES)
    if not value or _is_address(value):
        return
    message = f'cannot use {ENDPOINT} "{_shown(value)}" (from the environment): '
    parts = urlsplit(bare)
    if _is_address(bare):
        yield SettingsError(f"{message}quotes or blanks are around it", hint=f"{ENDPOINT}={_shown(bare)}")
    elif "://" not in bare:
        host = bare.lstrip("/")
        why = "it has no scheme" if host else "it is blank"
        yield SettingsError(message + why, hint=f"{ENDPOINT}=https://{_shown(host) or 'huggingface.co'}")
    elif parts.scheme not in ("http", "https"):
        why = f"the hub is asked by http or https, not by {parts.scheme}"
        yield SettingsError(message + why, hint=f"{ENDPOINT}=https://{_shown(parts.netloc + parts.path)}")
    else:
        yield SettingsError(f"{message}it names no host", hint=f"{ENDPOINT}=https://huggingface.co")


def _is_address(text: str) -> bool:
    """Return whether the text is a whole http or https URL, with a numeric port if any."""
    try:
        parts = urlsplit(text)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and has_port and text.strip() == text


def _proxy_problems(name: str, value: str) -> Iterator[SettingsError]:
    """Yield the SettingsError, not raised, for a faulty proxy variable; nothing if it is empty."""
    if not value:
        return
    bare = value.strip().strip(_QUOTES)
    parts = urlsplit(bare if "://" in bare else f"http://{bare}")
    message = f"cannot use {name} '{_shown(value)}' (from the environment): "
    if bare != value:
        yield SettingsError(f"{message}quotes or blanks are around it", hint=f"{name}={_shown(bare)}")
    elif parts.scheme not in _PROXY_SCHEMES:
        yield SettingsError(
            f"{message}a proxy of the kind {parts.scheme} is not known",
            allowed=[f"{scheme}://" for scheme in _PROXY_SCHEMES],
            hint=f"{name}=http://{_shown(parts.netloc)}",
        )
    elif not _is_address(f"http://{parts.netloc}"):
        why = "it names no host, or a port that is no number"
        yield SettingsError(message + why, hint=f"{name}=http://HOST:PORT")
    elif parts.scheme.startswith("socks") and find_spec("socksio") is None:
        why = "the Python package socksio, which SOCKS needs, is not installed"
        yield SettingsError(
            message + why, hint=f"pip install socksio, or {name}=http://HOST:PORT of an HTTP proxy"
        )


def _shown(value: str) -> str:
    """Return the URL text without user and password, for messages."""
    head, at, tail = value.rpartition("@")
    if not at:
        return value
    scheme, separator, _ = head.partition("://")
    return f"{scheme}://{tail}" if separator else tail
