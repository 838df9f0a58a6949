"""Models in a directory of a web server: what is in it is read from its checksum list or its index page."""

from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit

from obstore.store import HTTPStore

from nim.errors import SettingsError
from nim.fetch.sources.checksum_lists import CHECKSUMS, read_checksums, with_checksums
from nim.fetch.sources.http_requests import HttpRequests
from nim.fetch.sources.remote_files import RemoteFile, SourceDenied, SourceError
from nim.fetch.sources.store_client import OPTIONS, RETRIES, read_range

TOKEN = "NIM_SOURCE_TOKEN"  # noqa: S105 (a variable's name)
# A model's directory has few levels; an index that leads on and on is none.
MOST_LEVELS, MOST_FILES = 4, 5000
_PAGES = ("text/html", "application/xhtml+xml")


class WebDirectory:
    """A directory of a web server, with a SHA256SUMS file or an index page (HTML, or nginx's JSON)."""

    def __init__(self, uri: str, environ: Mapping[str, str], certificates: str | None) -> None:
        self.uri = uri
        self._url = f"{uri}/"
        headers = _authorization(uri, environ)
        self._requests = HttpRequests(environ, certificates, headers)
        self._store = http_store(uri, certificates, headers)
        self._has_token = bool(headers)

    def files(self) -> tuple[RemoteFile, ...]:
        """Return the files below the directory; SourceError if there is no index of it."""
        try:
            with self._requests:
                checksums = read_checksums(self._requests.text_if_there(self._url + CHECKSUMS))
                names = sorted(checksums) or sorted(self._index(self._url, ""))
                if not names:
                    raise SourceError("its index names no files")
                return with_checksums((self._file(name) for name in names), checksums)
        except SourceDenied as error:
            how = f"the {TOKEN} that is set" if self._has_token else "no token"
            raise SourceDenied(f"{error.message}, asked with {how}", hint=f"{TOKEN}=…") from error

    def read(self, file: RemoteFile, start: int, end: int) -> Iterator[memoryview]:
        """Yield the bytes from `start` to before `end`, as they arrive."""
        return read_range(self._store, file.name, file, start, end)

    def states_digest(self, file: RemoteFile) -> bool:  # noqa: ARG002 (the interface's)
        """Return True: digests come from lists of checksums."""
        return True

    def _file(self, name: str) -> RemoteFile:
        """Return a file with the size and the tag that the server states for it."""
        headers = self._requests.headers(self._url + quote(name))
        length = headers.get("content-length", "")
        if not length.isdigit():
            raise SourceError(f"it states no size for {name}", hint="a server that sends Content-Length")
        return RemoteFile(
            name=name, size=int(length), tag=headers.get("etag") or headers.get("last-modified")
        )

    def _index(self, url: str, below: str) -> Iterator[str]:
        """Yield the names of the files in an index page, and in those of directories below it."""
        if below.count("/") > MOST_LEVELS:
            raise SourceError(f"its directories are nested too deeply, as {below}")
        text, kind = self._requests.text(url)
        entries = _json_entries(self._requests.json(url)) if kind == "application/json" else ()
        if kind in _PAGES:
            entries = tuple(_page_entries(text, url))
        elif not entries:
            raise SourceError(
                f"{url} answered {kind or 'something'} that is no index page",
                hint=f"a {CHECKSUMS} file in it (sha256sum * > {CHECKSUMS}), or autoindex on in nginx",
            )
        for number, name in enumerate(entries):
            if number > MOST_FILES:
                raise SourceError(f"its index names more than {MOST_FILES} files")
            if name.endswith("/"):
                yield from self._index(urljoin(url, quote(name)), below + name)
            else:
                yield below + name


def http_store(url: str, certificates: str | None, headers: Mapping[str, str]) -> Any:
    """Return obstore's client for files below a URL; SettingsError if it cannot be used."""
    client = OPTIONS | {"default_headers": {"Accept-Encoding": "identity", **headers}}
    client |= {"root_certificate": certificates} if certificates else {}
    try:
        return HTTPStore.from_url(url, client_options=client, retry_config=RETRIES)
    except ValueError as error:
        raise SettingsError(
            f"cannot use {url}: {str(error).splitlines()[0]}", hint="https://HOST/DIRECTORY/"
        ) from error


def _authorization(uri: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the header with the token for web servers; {} without one. Never sent without TLS."""
    token = environ.get(TOKEN, "")
    return {"Authorization": f"Bearer {token}"} if token and uri.startswith("https://") else {}


def _json_entries(values: Any) -> tuple[str, ...]:
    """Return the names in nginx's JSON index, directories with a slash; () for other JSON."""
    if not isinstance(values, list) or not all(isinstance(one, dict) and "name" in one for one in values):
        return ()
    return tuple(one["name"] + ("/" if one.get("type") == "directory" else "") for one in values)


class _Links(HTMLParser):
    """Collects the addresses that a page links to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Add the address of a link."""
        self.found += [value for name, value in attributes if tag == "a" and name == "href" and value]


def _page_entries(text: str, url: str) -> Iterator[str]:
    """Yield the names of the direct entries of a directory in its index page, directories with a slash."""
    links = _Links()
    links.feed(text)
    base = urlsplit(url)
    for link in dict.fromkeys(links.found):
        parts = urlsplit(urljoin(url, link))
        if parts.netloc != base.netloc or parts.query or not parts.path.startswith(base.path):
            continue
        name = unquote(parts.path.removeprefix(base.path))
        if name and "/" not in name.rstrip("/") and not name.startswith("."):
            yield name
