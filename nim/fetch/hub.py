"""List and download repositories with the hub's own client library."""

import logging
import re
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, hf_hub_download, set_client_factory
from huggingface_hub.utils._http import default_client_factory

from nim.frozen_dataclass import frozen_dataclass
from nim.models.hub.cache_snapshots import find_snapshot
from nim.plan import Wanted

WORKERS = 8
OK = 200
# The query of a hub's URL may be a signature that grants access.
_SIGNATURE = re.compile(r"(?<=\S)\?\S+")
_USER = re.compile(r"://[^/@\s]+@")


@frozen_dataclass
class Repository:
    """A revision of a repository. `files` have their sizes in bytes, None where the hub gives none."""

    wanted: Wanted
    commit: str
    files: Mapping[str, int | None]

    @property
    def snapshot(self) -> Path:
        """Return the path of the cache directory with the files of this commit under their own names."""
        return self.wanted.directory / "snapshots" / self.commit

    def only(self, names: tuple[str, ...]) -> "Repository":
        """Return a Repository with only the named files."""
        return Repository(
            wanted=self.wanted, commit=self.commit, files={name: self.files[name] for name in names}
        )

    @property
    def missing(self) -> dict[str, int | None]:
        """Return {name: bytes, None if unknown} of the files that are not in the cache on disk."""
        return {name: size for name, size in self.files.items() if not (self.snapshot / name).exists()}


def bytes_of(files: Mapping[str, int | None]) -> int | None:
    """Return the sum of the files' sizes; None where one is unknown."""
    sizes = [size for size in files.values() if size is not None]
    return sum(sizes) if len(sizes) == len(files) else None


def shown_endpoint() -> str:
    """Return the hub's address as text, without user and password."""
    return _USER.sub("://", constants.ENDPOINT)


def look_up(wanted: Wanted) -> Repository:
    """Ask the hub for the commit and the files; return a Repository. Nothing is written."""
    found = HfApi().model_info(
        wanted.repository,
        revision=wanted.revision,
        files_metadata=True,
        timeout=constants.HF_HUB_ETAG_TIMEOUT,
    )
    files = {file.rfilename: file.size for file in found.siblings or ()}
    return Repository(wanted=wanted, commit=found.sha or "", files=files)


def find_in_cache(wanted: Wanted) -> Repository | None:
    """Return the Repository in the cache on disk, perhaps incomplete; None if nothing is cached."""
    snapshot = find_snapshot(wanted.directory, wanted.revision)
    if snapshot is None:
        return None
    files = {
        str(path.relative_to(snapshot)): path.stat().st_size
        for path in sorted(snapshot.rglob("*"))
        if path.is_file()
    }
    return Repository(wanted=wanted, commit=snapshot.name, files=files) if files else None


def fetch_file(repository: Repository, name: str, cache: str | None = None) -> Path:
    """Download one file of the repository into the cache unless it is there; return its path."""
    wanted = repository.wanted
    cache = cache or wanted.cache
    return Path(hf_hub_download(wanted.repository, name, revision=repository.commit, cache_dir=cache))


def fetch(repository: Repository) -> None:
    """Download all missing files, eight at once; the first error cancels the others and is raised."""
    _refer(repository)
    with ThreadPoolExecutor(WORKERS) as pool:
        jobs = [pool.submit(fetch_file, repository, name) for name in repository.missing]
        try:
            for job in wait(jobs, return_when=FIRST_EXCEPTION).done:
                job.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    # The client would take a listing from an earlier start for the list of required files.
    (repository.wanted.directory / "trees" / f"{repository.commit}.json").unlink(missing_ok=True)


def _refer(repository: Repository) -> None:
    """Ask the hub for the commit that the revision names, and record it in the cache for use offline."""
    wanted = repository.wanted
    HfApi().resolve_revision(wanted.repository, revision=wanted.revision, cache_dir=wanted.cache)


class NotTheHubError(Exception):
    """A web page came in place of the hub's answer."""

    def __init__(self, url: str, content_type: str, *, redirected: bool) -> None:
        super().__init__(f"{url} answered {content_type}")
        self.url, self.content_type, self.redirected = url, content_type, redirected


def refuse_web_pages() -> None:
    """Make every new HTTP client raise NotTheHubError for web pages, such as a log-in page."""

    def client() -> Any:
        """Return an HTTP client that checks each answer by `_check_answer`."""
        made = default_client_factory()
        made.event_hooks["response"].append(_check_answer)
        return made

    set_client_factory(client)


def _check_answer(answer: Any) -> None:
    """Raise NotTheHubError for an HTML answer with status 200 that lacks the hub's headers."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_page = kind in ("text/html", "application/xhtml+xml") and answer.status_code == OK
    if is_page and constants.HUGGINGFACE_HEADER_X_REPO_COMMIT not in answer.headers:
        url = answer.request.url
        shown = f"{url.scheme}://{url.netloc.decode('ascii').rpartition('@')[2]}"
        raise NotTheHubError(shown, kind, redirected=shown not in shown_endpoint())


def forward_log(log: Callable[[str], None]) -> None:
    """Replace the log handlers of the hub's client by one that calls `log` for each warning."""

    class Forwarder(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            """Call `log` with the record on one line, without signatures and passwords in URLs."""
            log(_USER.sub("://", _SIGNATURE.sub("", " ".join(record.getMessage().split()))))

    logger = logging.getLogger("huggingface_hub")
    logger.handlers[:] = [Forwarder(logging.WARNING)]
    logger.propagate = False
