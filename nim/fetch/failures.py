"""What went wrong with the hub, told apart: each cause with its own sentence and what to do."""

import errno
from collections.abc import Iterator
from typing import cast

from huggingface_hub import errors

from nim.errors import NimError, OutOfReach, PreflightError, WeightsError
from nim.fetch.hub import endpoint
from nim.plan import Wanted

TOKEN = "HF_TOKEN=… of an account that was granted access on the model's page"  # noqa: S105 (a hint)
FORBIDDEN, UNAUTHORIZED, NOT_FOUND = 403, 401, 404
# The client's library for HTTP is another one with each of its major releases: its classes are known by name.
HTTP_ERROR: type[Exception] = cast(type[Exception], errors.HfHubHTTPError.__bases__[0])
# What the client and its parts raise.
RAISED: tuple[type[Exception], ...] = (
    *(OSError, ValueError, RuntimeError, HTTP_ERROR),
    *(errors.EntryNotFoundError, errors.RevisionResolutionError),
)
FULL = (errno.ENOSPC, errno.EDQUOT)


def refusal(error: BaseException, wanted: Wanted, *, has_token: bool) -> NimError:
    """The error as whoever waits for the files is to hear it."""
    causes = tuple(_causes(error))
    for cause in causes:
        if isinstance(cause, errors.HfHubHTTPError):
            return _answered(cause, wanted, has_token=has_token)
    for cause in causes:
        if isinstance(cause, HTTP_ERROR):
            return _unreached(cause, wanted)
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
    return WeightsError(
        f"cannot fetch {wanted.uri}: {said}", hint="the same command again goes on where this one ended"
    )


def _answered(error: errors.HfHubHTTPError, wanted: Wanted, *, has_token: bool) -> NimError:
    """The hub has said no."""
    status = error.response.status_code
    how = "it was asked with the HF_TOKEN that is set" if has_token else "HF_TOKEN is not set"
    if isinstance(error, errors.GatedRepoError) or status == FORBIDDEN:
        why = f"the hub gives it only to accounts that were granted access ({status}), and {how}"
        return WeightsError(f"cannot fetch {wanted.uri}: {why}", hint=TOKEN)
    if isinstance(error, errors.RevisionNotFoundError):
        message = f"cannot fetch {wanted.uri}: {wanted.repository} has no revision '{wanted.revision}'"
        return WeightsError(message, hint=f"hf://{wanted.repository} without a revision is its main branch")
    if isinstance(error, errors.RepositoryNotFoundError):
        why = f"{endpoint()} has no such repository, or it is private ({status}), and {how}"
        return WeightsError(
            f"cannot fetch {wanted.uri}: {why}", hint=f"the name as on the model's page, or {TOKEN}"
        )
    if status == UNAUTHORIZED:
        return WeightsError(
            f"cannot fetch {wanted.uri}: the hub does not know this HF_TOKEN (401)", hint=TOKEN
        )
    said = error.server_message or error.response.reason_phrase
    kind = WeightsError if status == NOT_FOUND else OutOfReach
    return kind(
        f"cannot fetch {wanted.uri}: {endpoint()} answered {status} {said}".rstrip(),
        hint="the same command again, later: what has arrived is kept",
    )


def _unreached(error: BaseException, wanted: Wanted) -> NimError:
    """Nobody has answered, or not to the end."""
    again = "the same command again goes on where this one ended"
    names = {kind.__name__ for kind in type(error).__mro__}
    if "TimeoutException" in names:
        why = f"{endpoint()} did not answer in time"
        return OutOfReach(
            f"cannot fetch {wanted.uri}: {why}",
            hint="HF_HUB_ETAG_TIMEOUT=60 HF_HUB_DOWNLOAD_TIMEOUT=60, and the same command again",
        )
    if names & {"ConnectError", "ProxyError"}:
        why = f"{endpoint()} is out of reach: {error}"
        return OutOfReach(
            f"cannot fetch {wanted.uri}: {why}", hint="HF_ENDPOINT=… a mirror, or HTTPS_PROXY=…"
        )
    return OutOfReach(f"cannot fetch {wanted.uri}: the connection broke off: {error}", hint=again)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it came from, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
