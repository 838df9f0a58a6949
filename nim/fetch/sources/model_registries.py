"""Models of ModelScope and NGC: their listings, and their files by address."""

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from nim.fetch.sources.checksum_lists import with_checksums
from nim.fetch.sources.http_requests import HttpRequests
from nim.fetch.sources.remote_files import Digest, RemoteFile, Source, SourceDenied, SourceError
from nim.fetch.sources.store_client import read_range
from nim.fetch.sources.web_directories import http_store

MODELSCOPE_TOKEN, MODELSCOPE_DOMAIN = "MODELSCOPE_API_TOKEN", "MODELSCOPE_DOMAIN"
HF_TOKEN = "HF_TOKEN"  # noqa: S105 (a variable's name)
NGC_KEYS = ("NGC_CLI_API_KEY", "NGC_API_KEY")
NGC_API, NGC_AUTH = "NGC_API_ENDPOINT", "NGC_AUTHN_ENDPOINT"
_DEFAULT_REVISION = "master"
_MOST_PAGES = 1000


class _Registry:
    """A model of a registry: files below an address, with a listing of their own."""

    def __init__(self, uri: str, requests: HttpRequests, files_url: str, store: Any) -> None:
        self.uri, self._requests, self._files_url, self._store = uri, requests, files_url, store

    def read(self, file: RemoteFile, start: int, end: int) -> Iterator[memoryview]:
        """Yield the bytes from `start` to before `end`, as they arrive."""
        return read_range(self._store, file.name, file, start, end)

    def states_digest(self, file: RemoteFile) -> bool:  # noqa: ARG002 (the interface's)
        """Return True: digests come from lists of checksums."""
        return True


class ModelScope(_Registry):
    """A model of ModelScope: `modelscope://ORG/NAME[:REVISION]`."""

    def __init__(self, uri: str, environ: Mapping[str, str], certificates: str | None) -> None:
        name, _, revision = uri.partition("://")[2].partition(":")
        self._revision = revision or _DEFAULT_REVISION
        token = environ.get(MODELSCOPE_TOKEN, "")
        self._has_token = bool(token)
        headers = {"Authorization": f"Bearer {token}", "Cookie": f"m_session_id={token}"} if token else {}
        root = _with_scheme(environ.get(MODELSCOPE_DOMAIN) or "www.modelscope.cn")
        self._list_url = f"{root}/api/v1/models/{name}/repo/files"
        url = f"{root}/models/{name}/resolve/{quote(self._revision, safe='')}"
        requests = HttpRequests(environ, certificates, headers)
        super().__init__(uri, requests, url, http_store(url, certificates, headers))

    def files(self) -> tuple[RemoteFile, ...]:
        """Return the files of the revision, with the SHA-256 of each."""
        url = f"{self._list_url}?Revision={quote(self._revision, safe='')}&Recursive=true"
        try:
            with self._requests:
                data = self._requests.json(url)
        except SourceDenied as error:
            how = f"the {MODELSCOPE_TOKEN} that is set" if self._has_token else "no token"
            raise SourceDenied(f"{error.message}, asked with {how}", hint=f"{MODELSCOPE_TOKEN}=…") from error
        listed = (data.get("Data") or {}).get("Files") if isinstance(data, dict) else None
        if not listed:
            said = data.get("Message") if isinstance(data, dict) else None
            raise SourceError(f"ModelScope lists no files of it{f': {said}' if said else ''}")
        return with_checksums((_modelscope_file(one) for one in listed if one.get("Type") != "tree"), {})


class Ngc(_Registry):
    """A version of a model of NGC: `ngc://ORG[/TEAM]/MODEL:VERSION`."""

    def __init__(self, uri: str, environ: Mapping[str, str], certificates: str | None) -> None:
        name, _, version = uri.partition("://")[2].partition(":")
        org, *team, model = name.split("/")
        key = next((environ[one] for one in NGC_KEYS if environ.get(one)), "")
        self._has_key = bool(key)
        scope = "&".join([f"group/ngc:{org}", *(f"group/ngc:{org}/{one}" for one in team)])
        headers = {}
        if key:
            auth = _with_scheme(environ.get(NGC_AUTH) or "authn.nvidia.com")
            headers = {"Authorization": f"Bearer {_ngc_token(auth, key, scope, environ, certificates)}"}
        root = _with_scheme(environ.get(NGC_API) or "api.ngc.nvidia.com")
        place = "/".join(
            [f"org/{org}", *(f"team/{one}" for one in team), f"models/{model}/versions/{version}"]
        )
        url = f"{root}/v2/{place}/files"
        requests = HttpRequests(environ, certificates, headers)
        super().__init__(uri, requests, url, http_store(url, certificates, headers))

    def files(self) -> tuple[RemoteFile, ...]:
        """Return the files of the version, page by page."""
        try:
            with self._requests:
                found = tuple(self._pages())
        except SourceDenied as error:
            how = "the key that is set" if self._has_key else "no key"
            raise SourceDenied(f"{error.message}, asked with {how}", hint=f"{NGC_KEYS[1]}=…") from error
        if not found:
            raise SourceError("NGC lists no files of it")
        return with_checksums(found, {})

    def _pages(self) -> Iterator[RemoteFile]:
        """Yield the files of each page of the listing."""
        for number in range(_MOST_PAGES):
            data = self._requests.json(f"{self._files_url}?page-number={number}&page-size=1000")
            yield from map(_ngc_file, data.get("modelFiles") or ())
            if number + 1 >= int((data.get("paginationInfo") or {}).get("totalPages") or 1):
                return


class HuggingFace(_Registry):
    """A repository of the hub, fetched by the service: `hf://ORG/NAME[:REVISION]`, beside mirrors."""

    def __init__(self, uri: str, environ: Mapping[str, str], certificates: str | None) -> None:
        self._name, _, revision = uri.partition("://")[2].partition(":")
        self._revision = revision or "main"
        token = environ.get(HF_TOKEN, "")
        self._has_token = bool(token)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._certificates = certificates
        self._root = (environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
        super().__init__(uri, HttpRequests(environ, certificates, self._headers), "", None)

    def files(self) -> tuple[RemoteFile, ...]:
        """Return the files of the revision's commit, with the SHA-256 of large ones."""
        revision = quote(self._revision, safe="")
        try:
            with self._requests:
                url = f"{self._root}/api/models/{self._name}/revision/{revision}?blobs=true"
                data = self._requests.json(url)
        except SourceDenied as error:
            how = f"the {HF_TOKEN} that is set" if self._has_token else "no token"
            raise SourceDenied(f"{error.message}, asked with {how}", hint=f"{HF_TOKEN}=…") from error
        url = f"{self._root}/{self._name}/resolve/{data['sha']}"
        self._store = http_store(url, self._certificates, self._headers)
        return with_checksums(map(_hub_file, data.get("siblings") or ()), {})


def _hub_file(entry: Mapping[str, Any]) -> RemoteFile:
    """Return an entry of the hub's listing as a RemoteFile."""
    value = (entry.get("lfs") or {}).get("sha256")
    digest = Digest(algorithm="sha256", value=value) if value else None
    return RemoteFile(
        name=entry["rfilename"], size=int(entry["size"]), digest=digest, tag=entry.get("blobId")
    )


def _modelscope_file(entry: Mapping[str, Any]) -> RemoteFile:
    """Return an entry of ModelScope's listing as a RemoteFile."""
    value = str(entry.get("Sha256") or "")
    digest = Digest(algorithm="sha256", value=value.lower()) if value else None
    return RemoteFile(name=entry["Path"], size=int(entry["Size"]), digest=digest)


def _ngc_file(entry: Mapping[str, Any]) -> RemoteFile:
    """Return an entry of NGC's listing as a RemoteFile; its SHA-256 is in base 64 there, if anywhere."""
    value = str(entry.get("sha256_base64") or "")
    digest = Digest(algorithm="sha256", value=_hex(value)) if value else None
    return RemoteFile(name=entry["path"], size=int(entry["sizeInBytes"]), digest=digest)


def _hex(text: str) -> str:
    """Return the hex digits of what the text has in base 64."""
    return base64.b64decode(text).hex()


def _ngc_token(root: str, key: str, scope: str, environ: Mapping[str, str], certificates: str | None) -> str:
    """Return the token that NGC gives for a key; SourceError if it gives none."""
    words = base64.b64encode(f"$oauthtoken:{key}".encode()).decode()
    try:
        with HttpRequests(environ, certificates, {"Authorization": f"Basic {words}"}) as requests:
            return str(requests.json(f"{root}/token?service=ngc&scope={quote(scope, safe='')}")["token"])
    except SourceDenied as error:
        raise SourceDenied(f"NGC refuses the key: {error.message}", hint=f"{NGC_KEYS[1]}=…") from error


def _with_scheme(address: str) -> str:
    """Return an address with https:// where it has no scheme, without a slash at its end."""
    return (address if "://" in address else f"https://{address}").rstrip("/")


MODEL_REGISTRIES: Mapping[str, Callable[[str, Mapping[str, str], str | None], Source]] = {
    "hf": HuggingFace,
    "modelscope": ModelScope,
    "ngc": Ngc,
}
