"""Detect paths on a mount whose server does not respond: any access to them blocks forever."""

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

from nim.errors import PreflightError
from nim.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class Place:
    """A directory or file, and the variable that sets it."""

    path: Path
    variable: str


def run_path_steps(steps: Iterator[Place], seconds: float) -> None:
    """Run steps that access paths, all within `seconds` (0: no limit); PreflightError if one blocks.

    The steps run in a daemon thread, so a blocked one does not delay the exit of this process.
    """
    at: Place | None = None
    failed: list[BaseException] = []

    def take() -> None:
        """Run the steps in the thread; keep the present place and the first error."""
        nonlocal at
        try:
            for place in steps:
                at = place
        except BaseException as error:
            failed.append(error)

    thread = Thread(target=take, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise PreflightError(
            f"cannot start a thread: {error}", hint="ulimit -u, or the limit on processes of the container"
        ) from None
    thread.join(seconds or None)
    if thread.is_alive():
        raise _no_answer(at, seconds) if at else _nothing_tried(seconds)
    if failed:
        raise failed[0]


def probe(places: Iterator[Place], seconds: float) -> None:
    """Test whether each path exists; PreflightError if that takes longer than `seconds` in all."""
    run_path_steps(_accessed(places), seconds)


def _accessed(places: Iterator[Place]) -> Iterator[Place]:
    """Yield each place, then test whether its path exists, which blocks on a dead mount."""
    for place in places:
        yield place
        place.path.exists()


def _nothing_tried(seconds: float) -> PreflightError:
    """Return the PreflightError for steps that hung before naming a place."""
    return PreflightError(
        f"cannot check the directories: nothing has answered for {seconds:g} s (NIM_CACHE_PROBE_TIMEOUT)",
        hint="NIM_CACHE_PROBE_TIMEOUT=… longer, if this machine is only slow",
    )


def _no_answer(place: Place, seconds: float) -> PreflightError:
    """Return the PreflightError for a path that does not respond."""
    return PreflightError(
        f'cannot use "{place.path}" ({place.variable}): it has not answered for {seconds:g} s '
        "(NIM_CACHE_PROBE_TIMEOUT), as when the server of a network mount is gone",
        hint=f"findmnt -T '{place.path}': check that mount, or use another directory",
    )
