"""Open the source of a model by its URI; the libraries it needs are imported then."""

from collections.abc import Callable, Mapping
from pathlib import Path

from nim.errors import PreflightError, SettingsError
from nim.fetch.sources.directories import Directory
from nim.fetch.sources.remote_files import Source
from nim.models.remote.locate_source import ORIGINAL
from nim.models.remote.uris import OBJECT_STORES, WEB
from nim.plan import RemoteModel

Log = Callable[[str, str], None]

CERTIFICATES = "SSL_CERT_FILE"
# Names under which other tools take certificates; obstore reads only the first.
OTHER_CERTIFICATES = ("REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE", "CURL_CA_BUNDLE")


def open_sources(remote: RemoteModel, environ: Mapping[str, str], log: Log) -> Source:
    """Return the Source of a model: its own, or its mirrors, tried in turn."""
    if not remote.mirrors:
        return open_source(remote.uri, environ)
    from nim.fetch.sources.mirrors import Mirrors, mirror_uri

    uris = [remote.uri if one == ORIGINAL else mirror_uri(one, remote.uri) for one in remote.mirrors]
    return Mirrors(remote.uri, uris, lambda uri: open_source(uri, environ), log)


def open_source(uri: str, environ: Mapping[str, str]) -> Source:
    """Return the Source of a URI; nothing is asked of it. PreflightError if a package is missing."""
    scheme = uri.partition("://")[0]
    if scheme.startswith("/"):
        return Directory(uri)
    certificates = _certificates(environ)
    try:
        if scheme in OBJECT_STORES:
            from nim.fetch.sources.object_stores import ObjectStore

            return ObjectStore(uri, environ, certificates)
        if scheme in WEB:
            from nim.fetch.sources.web_directories import WebDirectory

            return WebDirectory(uri, environ, certificates)
        from nim.fetch.sources.model_registries import MODEL_REGISTRIES

        return MODEL_REGISTRIES[scheme](uri, environ, certificates)
    except ImportError as error:
        message = f"cannot fetch {uri}: the Python package {error.name} is not installed"
        raise PreflightError(message, hint="make setup, or pip install 'nim[sources]'") from None


def _certificates(environ: Mapping[str, str]) -> str | None:
    """Return the certificates that are trusted beside the system's, as PEM; None without a variable."""
    found = {}
    for name in (CERTIFICATES, *OTHER_CERTIFICATES):
        if path := environ.get(name):
            try:
                found[path] = Path(path).read_text(encoding="ascii", errors="replace")
            except OSError as error:
                message = f"cannot use {name} '{path}' (from the environment): {error.strerror}"
                raise SettingsError(message, hint=f"ls -l '{path}'; unset {name}") from None
    return "\n".join(found.values()) or None
