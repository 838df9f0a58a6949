"""Convert errors of the hub's client into errors of this project, with a hint for each cause."""

import errno
from collections.abc import Iterator, Mapping
from typing import cast

from huggingface_hub import errors

from nim.errors import NimError, OutOfReach, PreflightError, WeightsError
from nim.fetch.explain_connection_errors import AGAIN, connection_cause
from nim.fetch.hub import NotTheHubError, shown_endpoint
from nim.models.hub.check_connection_variables import ENDPOINT
from nim.plan import Wanted

# The variables that the client reads, and others that tools for the hub read or that people expect.
TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
OTHER_TOKENS = (
    *("HUGGINGFACE_TOKEN", "HUGGINGFACEHUB_API_TOKEN", "HUGGINGFACE_HUB_TOKEN", "HUGGINGFACE_API_KEY"),
    *(
        "HUGGING_FACE_TOKEN",
        "HF_API_TOKEN",
        "HF_API_KEY",
        "HF_HUB_TOKEN",
        "HF_ACCESS_TOKEN",
        "HUGGINGFACE_API_TOKEN",
    ),
)
TOKEN = "HF_TOKEN=… of an account that was granted access on the model's page"  # noqa: S105 (a hint)
LATER = "the same command again, later: what has arrived is kept"
BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, TOO_MANY = 400, 401, 403, 404, 429
# The client's HTTP library changes with its major releases, so its classes are recognized by name.
HTTP_ERROR: type[Exception] = cast(type[Exception], errors.HfHubHTTPError.__bases__[0])
# The errors that the client and its libraries raise.
RAISED: tuple[type[Exception], ...] = (
    *(OSError, ValueError, RuntimeError, HTTP_ERROR, NotTheHubError),
    *(errors.EntryNotFoundError, errors.RevisionResolutionError),
)
FULL = (errno.ENOSPC, errno.EDQUOT)


def refusal(error: BaseException, wanted: Wanted, environ: Mapping[str, str]) -> NimError:
    """Return the NimError, with a hint, for an exception of a failed fetch. Raises nothing."""
    causes = tuple(_causes(error))
    for cause in causes:
        if isinstance(cause, NotTheHubError):
            return _not_the_hub(cause, wanted)
        if isinstance(cause, errors.HfHubHTTPError):
            return _answered(cause, wanted, environ)
    for at, cause in enumerate(causes):
        if isinstance(cause, HTTP_ERROR):
            found = connection_cause(causes[at:], _failed_at(cause), environ)
            return OutOfReach(f"cannot fetch {wanted.uri}: {found.why}", hint=found.hint)
    for cause in causes:
        if isinstance(cause, OSError) and cause.errno in FULL:
            return PreflightError(
                f"cannot fetch {wanted.uri}: no space is left in '{wanted.cache}'",
                hint=f"df -h '{wanted.cache}'",
            )
    first = causes[0]
    if isinstance(first, OSError) and first.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return PreflightError(f"cannot fetch {wanted.uri} into '{first.filename}': {first.strerror}")
    said = " ".join(str(first).split()) or type(first).__name__
    return WeightsError(f"cannot fetch {wanted.uri}: {said}", hint=AGAIN)


def _failed_at(error: BaseException) -> str:
    """Return the scheme and host that failed, as text: the hub's, or those of its file storage."""
    try:
        url = error.request.url  # type: ignore[attr-defined]
    except (AttributeError, RuntimeError):
        return shown_endpoint()
    asked = f"{url.scheme}://{url.netloc.decode('ascii').rpartition('@')[2]}"
    return shown_endpoint() if shown_endpoint().startswith(asked) else asked


def _not_the_hub(error: NotTheHubError, wanted: Wanted) -> NimError:
    """Return the OutOfReach error for a web page, such as a log-in, instead of the hub's answer."""
    what = f"{error.url} answered {error.content_type}: that is not the hub"
    if error.redirected:
        what = f"{shown_endpoint()} redirected to {error.url}, which answered {error.content_type}"
        what += ": that is not the hub"
    hint = f"curl -sL {error.url} | head shows it: log in there, or {ENDPOINT}=… a mirror, or HTTPS_PROXY=…"
    return OutOfReach(f"cannot fetch {wanted.uri}: {what}", hint=hint)


def _answered(error: errors.HfHubHTTPError, wanted: Wanted, environ: Mapping[str, str]) -> NimError:
    """Return the WeightsError or OutOfReach for an HTTP status, from the hub or a proxy."""
    status = error.response.status_code
    how = _whose_token(environ)
    if page := _page(error):
        why = (
            f"{shown_endpoint()} answered {status} with {page}: that is a proxy or a firewall, or not the hub"
        )
        return OutOfReach(f"cannot fetch {wanted.uri}: {why}", hint=_instead(status))
    if isinstance(error, errors.GatedRepoError) or status == FORBIDDEN:
        why = f"the hub gives it only to accounts that were granted access ({status}), and {how}"
        return WeightsError(f"cannot fetch {wanted.uri}: {why}", hint=TOKEN)
    if isinstance(error, errors.RevisionNotFoundError):
        message = f"cannot fetch {wanted.uri}: {wanted.repository} has no revision '{wanted.revision}'"
        return WeightsError(message, hint=f"hf://{wanted.repository} without a revision is its main branch")
    if isinstance(error, errors.RepositoryNotFoundError):
        why = f"{shown_endpoint()} has no such repository, or it is private ({status}), and {how}"
        return WeightsError(
            f"cannot fetch {wanted.uri}: {why}", hint=f"the name as on the model's page, or {TOKEN}"
        )
    if status == UNAUTHORIZED:
        return WeightsError(
            f"cannot fetch {wanted.uri}: the hub does not know this HF_TOKEN (401)", hint=TOKEN
        )
    said = error.server_message or error.response.reason_phrase
    why = f"{shown_endpoint()} answered {status} {said}".rstrip()
    if status == TOO_MANY:
        return OutOfReach(f"cannot fetch {wanted.uri}: {why}", hint=_after(error, environ))
    if status == NOT_FOUND:
        return WeightsError(
            f"cannot fetch {wanted.uri}: {why}", hint=f"{ENDPOINT}=… the hub's address, without a path"
        )
    return OutOfReach(f"cannot fetch {wanted.uri}: {why}", hint=LATER)


def _page(error: errors.HfHubHTTPError) -> str | None:
    """Return the content type of a web page that is not the hub's own error; None otherwise."""
    headers = error.response.headers
    kind = headers.get("content-type", "").partition(";")[0].strip()
    return kind if kind == "text/html" and "X-Error-Code" not in headers else None


def _instead(status: int) -> str:
    """Return the hint, as text, for an answer from a server that is not the hub."""
    asked = shown_endpoint()
    if status == BAD_REQUEST and asked.startswith("http://"):
        return f"{ENDPOINT}={asked.replace('http://', 'https://', 1)}: it seems to speak TLS"
    return f"curl -sL {asked} | head shows it; {ENDPOINT}=… a mirror, or HTTPS_PROXY=… where one is needed"


def _whose_token(environ: Mapping[str, str]) -> str:
    """Return a clause on which token the request had, or which variable with one is not read."""
    if found := next((name for name in TOKENS if environ.get(name)), None):
        return f"it was asked with the {found} that is set"
    other = next((name for name in OTHER_TOKENS if environ.get(name)), None)
    return "HF_TOKEN is not set" + (f": {other} is, which is not read" if other else "")


def _after(error: errors.HfHubHTTPError, environ: Mapping[str, str]) -> str:
    """Return the hint after status 429 (too many requests): when to try again."""
    after = error.response.headers.get("retry-after", "")
    when = f"in {after} s" if after.isdigit() else "later"
    has_token = any(environ.get(name) for name in TOKENS)
    more = "" if has_token else "; HF_TOKEN=… of an account may ask more often"
    return f"the same command again {when}: what has arrived is kept{more}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and the errors behind it, by __cause__ or __context__."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
