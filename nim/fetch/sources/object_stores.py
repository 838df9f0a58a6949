"""Models in S3, Google Cloud Storage and Azure, and in stores that speak as they do."""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore import exceptions
from obstore.store import AzureStore, GCSStore, S3Store

from nim.errors import SettingsError
from nim.fetch.sources.checksum_lists import CHECKSUMS, read_checksums, with_checksums
from nim.fetch.sources.credentials import TO_SET, Access, ways_in
from nim.fetch.sources.http_requests import HttpRequests
from nim.fetch.sources.remote_files import Digest, RemoteFile, SourceDenied, SourceError
from nim.fetch.sources.store_client import OPTIONS, RETRIES, read_range, source_error
from nim.models.remote.uris import EXAMPLES

ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "gs": ("GOOGLE_BASE_URL", "STORAGE_EMULATOR_HOST"),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
ACCOUNTS = ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT")
SIGNED_SECONDS = 600
_CUSTOMER_KEY = "x-amz-server-side-encryption-customer-algorithm"
_MD5 = re.compile(r'"?([0-9a-f]{32})(-\d+)?"?')


class ObjectStore:
    """A directory of a bucket. Its credentials are found at the first listing."""

    def __init__(self, uri: str, environ: Mapping[str, str], certificates: str | None) -> None:
        self.uri = uri
        self.scheme, _, rest = uri.partition("://")
        self._bucket, _, prefix = rest.partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._environ, self._certificates = environ, certificates
        self._ways = ways_in(self.scheme, environ)
        self._store: Any = None
        self._listed: dict[str, RemoteFile] = {}

    def files(self) -> tuple[RemoteFile, ...]:
        """Return the files below the directory; SourceError if the store refuses, or has none."""
        found = self._list_with_access()
        if not found:
            raise SourceError("it has no files there", hint=f"{EXAMPLES[self.scheme]} as the store lists it")
        return with_checksums(found, read_checksums(self.text_if_there(CHECKSUMS)))

    def read(self, file: RemoteFile, start: int, end: int) -> Iterator[memoryview]:
        """Yield the bytes from `start` to before `end`, as they arrive."""
        try:
            yield from read_range(self.store, self._prefix + file.name, file, start, end)
        except SourceDenied as error:
            raise self._denied(error) from error

    def sizes(self) -> dict[str, int]:
        """Return {name: bytes} of the files below the directory, perhaps none."""
        return {file.name: file.size for file in self._list_with_access()}

    def text_if_there(self, name: str) -> str:
        """Return the text of a file; "" if the last listing has none of this name."""
        file = self._listed.get(name)
        return b"".join(self.read(file, 0, file.size)).decode(errors="replace") if file else ""

    def put(self, name: str, content: Path | bytes) -> None:
        """Upload a file, or bytes, to this name; large ones in parts."""
        try:
            obstore.put(self.store, self._prefix + name, content)
        except (exceptions.BaseError, ValueError) as error:
            raise source_error(error, name) from error

    def states_digest(self, file: RemoteFile) -> bool:
        """Return whether the ETag is the MD5 of the bytes; not of what keys of KMS encrypt."""
        if self.scheme != "s3" or not (file.digest and file.digest.algorithm.startswith("md5")):
            return True
        try:
            headers = self._headers(file)
        except SourceError:  # without credentials nothing can be signed
            return True
        encryption = headers.get("x-amz-server-side-encryption", "")
        return not (encryption.startswith("aws:kms") or _CUSTOMER_KEY in headers)

    def _headers(self, file: RemoteFile) -> Mapping[str, str]:
        """Return the headers that the store has for a file; SourceError if it does not say."""
        path = self._prefix + file.name
        try:
            url = obstore.sign(self.store, "HEAD", path, timedelta(seconds=SIGNED_SECONDS))
        except (exceptions.BaseError, OSError, ValueError) as error:
            raise source_error(error, file.name) from error
        with HttpRequests(self._environ, self._certificates) as requests:
            return requests.headers(url)

    @property
    def store(self) -> Any:
        """Return obstore's client of the bucket: that of the listing, else by the first way in."""
        self._store = self._store or self._open(self._ways[0])
        return self._store

    def _list_with_access(self) -> tuple[RemoteFile, ...]:
        """Return the listed files, by the first way in that is not refused; SourceDenied without one."""
        for way in self._ways:
            self._store = self._open(way)
            try:
                found = tuple(self._list())
            except SourceDenied as error:
                denied = error
            else:
                self._listed = {file.name: file for file in found}
                return found
        raise self._denied(denied)

    def _list(self) -> Iterator[RemoteFile]:
        """Yield the files below the directory, without those that stand for directories."""
        try:
            for batch in obstore.list(self._store, self._prefix or None):
                for found in batch:
                    name = found["path"].removeprefix(self._prefix)
                    if name and not name.endswith("/"):
                        yield self._file(name, found)
        except (exceptions.BaseError, OSError, ValueError) as error:
            raise source_error(error, f"the list of {self.uri}") from error

    def _file(self, name: str, found: Any) -> RemoteFile:
        """Return a listed object as a RemoteFile; its digest where the ETag is one."""
        tag = found["e_tag"]
        match = _MD5.fullmatch(tag or "") if self.scheme != "az" else None
        digest = Digest(algorithm=f"md5{match[2] or ''}", value=match[1]) if match else None
        return RemoteFile(name=name, size=found["size"], digest=digest, tag=tag)

    def _denied(self, error: SourceDenied) -> SourceDenied:
        """Return the error with the credentials that were tried, and those that can be set."""
        tried = " and ".join(way.name for way in self._ways)
        return SourceDenied(f"{error.message}, asked with {tried}", hint=TO_SET[self.scheme])

    def _open(self, way: Access) -> Any:
        """Return obstore's client of the bucket with these credentials. Nothing is asked yet."""
        client = OPTIONS | ({"root_certificate": self._certificates} if self._certificates else {})
        options: dict[str, Any] = dict(way.options)
        endpoint = next(
            (self._environ[name] for name in ENDPOINTS[self.scheme] if self._environ.get(name)), ""
        )
        more: dict[str, Any] = {"client_options": client, "retry_config": RETRIES}
        try:
            if self.scheme == "s3":
                options |= {"endpoint": endpoint} if endpoint else {}
                options |= {"virtual_hosted_style_request": self._is_virtual_hosted()}
                return S3Store(self._bucket, **options, **more)
            if self.scheme == "gs":
                options |= {"base_url": _with_scheme(endpoint)} if endpoint else {}
                return GCSStore(self._bucket, **options, **more)
            if "account_name" not in options:
                options["account_name"] = self._account()
            options |= {"endpoint": endpoint} if endpoint and "endpoint" not in options else {}
            return AzureStore(self._bucket, **options, **more)
        except (exceptions.BaseError, ValueError) as error:
            said = " ".join(str(error).partition("\n\nDebug source")[0].split())
            raise SettingsError(f"cannot use {self.uri}: {said}", hint=TO_SET[self.scheme]) from error

    def _is_virtual_hosted(self) -> bool:
        """Return whether the bucket's name goes into the host: where AWS_S3_USE_PATH_STYLE is off."""
        return self._environ.get("AWS_S3_USE_PATH_STYLE", "").lower() in ("0", "false", "no")

    def _account(self) -> str:
        """Return Azure's storage account; SettingsError if no variable names it."""
        account = next((self._environ[name] for name in ACCOUNTS if self._environ.get(name)), "")
        if not account:
            message = f"cannot use {self.uri}: the storage account is not known"
            raise SettingsError(message, hint=f"{ACCOUNTS[0]}=…")
        return account


def _with_scheme(address: str) -> str:
    """Return an address with http:// where it has no scheme, as emulators are named."""
    return address if "://" in address else f"http://{address}"
