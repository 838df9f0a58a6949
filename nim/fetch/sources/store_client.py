"""Read ranges and listings through obstore, and turn its errors into those of a source."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import obstore
from obstore import exceptions

from nim.fetch.sources.remote_files import (
    RemoteFile,
    SourceChanged,
    SourceDenied,
    SourceError,
    SourceOutOfReach,
)

# Chunks are passed on as they arrive once they have this size, so that little is lost with the process.
CHUNK_BYTES = 16 * 1024
# Between two readings; a whole request may take as long as it takes.
READ_TIMEOUT_SECONDS, CONNECT_TIMEOUT_SECONDS = 60, 10
OPTIONS: Any = {
    "timeout": timedelta(days=1),
    "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT_SECONDS),
    "read_timeout": timedelta(seconds=READ_TIMEOUT_SECONDS),
    "allow_http": True,
}
# Retries are made, and logged, by this project's downloader.
RETRIES: Any = {"max_retries": 0}
_STATUS = re.compile(r"non-2xx status code: (\d{3}) ?([\w -]*)")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_ADDRESS = re.compile(r"(https?://[^/\s?\"]+)")
_DENIED = (401, 403)
_TRANSIENT = (408, 409, 425, 429)
_FIRST_SERVER_ERROR = 500
# Signs in an error's chain of causes, as text, and what they mean.
_CAUSES = (
    (
        r"non-partial response|Range request not supported",
        "it does not serve ranges of a file",
        "a server that does, such as nginx: large files are fetched in parts",
        False,
    ),
    (
        r"UnknownIssuer|self.signed|CaUsedAsEndEntity",
        "its certificate is of an authority that is not known here",
        "SSL_CERT_FILE=… a file with the system's certificates and your organisation's",
        False,
    ),
    (
        r"certificate expired|Expired",
        "its certificate has expired",
        "date: this machine's clock may be wrong; else the server's operator must renew it",
        False,
    ),
    (
        r"NotValidForName|not valid for",
        "its certificate is for another name",
        "the address by the name that the certificate has",
        False,
    ),
    (r"InvalidContentType|InvalidMessage|corrupt message", "it does not speak TLS there", "http://…", False),
    (
        r"ProxyAuthRequired",
        "the proxy wants another user and password (407)",
        "HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT, with %40 for an @",
        False,
    ),
    (
        r"TunnelUnsuccessful",
        "the proxy lets nobody through to it",
        "NO_PROXY=… its host, if it is to be asked without the proxy",
        False,
    ),
    (r"TunnelUnexpectedEof|TunnelError|ProxyConnect", "the proxy broke off", None, True),
    (
        r"Name or service not known|nodename nor servname|No address associated",
        "its name is not known here",
        "HTTPS_PROXY=… where only a proxy knows it",
        False,
    ),
    (r"dns error|failed to lookup address", "no name server answers for its name", None, True),
    (r"Connection refused|ConnectionRefused", "the connection was refused", None, True),
    (r"operation timed out|deadline has elapsed|TimedOut", "it did not answer in time", None, True),
    (
        r"Connection reset|connection closed|IncompleteMessage|broken pipe|end of file",
        "it broke off",
        None,
        True,
    ),
)
_BROKE_OFF = re.compile(r"HTTP error: |error decoding response body|error sending request|body error")
NO_CREDENTIALS = re.compile(r"169\.254\.|metadata\.google|fd00:ec2|MissingAccount|Account must be specified")


def read_range(store: Any, path: str, file: RemoteFile, start: int, end: int) -> Iterator[memoryview]:
    """Yield the bytes of a range as they arrive; SourceError, or SourceChanged for another file's."""
    options: Any = {} if (start, end) == (0, file.size) else {"range": (start, end)}
    if (file.tag or "").startswith('"'):  # a weak tag does not promise equal bytes
        options["if_match"] = file.tag
    try:
        result = obstore.get(store, path, options=options)
        if result.meta["size"] != file.size:
            size = result.meta["size"]
            raise SourceChanged(
                f"{file.name} has {size} bytes at the source, and had {file.size} in its list"
            )
        for chunk in result.stream(min_chunk_size=CHUNK_BYTES):
            yield memoryview(chunk)
    except (exceptions.BaseError, OSError, ValueError) as error:
        raise source_error(error, file.name) from error


def source_error(error: BaseException, what: str) -> SourceError:
    """Return the SourceError for an exception of obstore while it read `what`."""
    text = str(error)
    found, code = _STATUS.search(text), _CODE.search(text)
    status = int(found[1]) if found else 0
    answer = f"{found[1]} {code[1] if code else found[2].strip()}".rstrip() if found else ""
    if isinstance(error, exceptions.PreconditionError):
        return SourceChanged(f"{what} has changed at the source")
    denied = isinstance(error, exceptions.UnauthenticatedError | exceptions.PermissionDeniedError)
    if denied or status in _DENIED:
        return SourceDenied(f"it refuses access to {what} ({answer or 'without a reason'})")
    if isinstance(error, FileNotFoundError):
        return SourceError(f"{what} is not there ({answer or 'not found'})")
    if status:
        transient = status in _TRANSIENT or status >= _FIRST_SERVER_ERROR
        hint = "AWS_REGION=… the bucket's region" if status // 100 == 3 else None
        return SourceError(f"it answered {answer} for {what}", transient=transient, hint=hint)
    return _connection_error(text, what)


def _connection_error(text: str, what: str) -> SourceError:
    """Return the SourceError for an exchange that ended without an answer, by its text."""
    if NO_CREDENTIALS.search(text):
        return SourceDenied("no credentials for it were found")
    if "without LOCATION" in text:
        return SourceError("its bucket is in another region", hint="AWS_REGION=… the bucket's region")
    address = _ADDRESS.search(text)
    where = f"{address[1]}: " if address else ""
    for sign, meaning, hint, transient in _CAUSES:
        if re.search(sign, text):
            if not transient:
                return SourceOutOfReach(f"{where}{meaning}", hint=hint)
            return SourceError(f"{where}{meaning}", transient=True, hint=hint)
    first = " ".join(text.partition("\n\nDebug source")[0].split())
    return SourceError(f"{first} (while reading {what})", transient=bool(_BROKE_OFF.search(text)))
