"""The query `filter_steps` of `/generate/full`."""

from collections.abc import Callable


def step_filter(text: str | None) -> Callable[[str], bool]:
    """Return a function: event type → whether the client wants it.

    Nothing: all. `none`, in any case: no step. Else names with commas between them, compared as they are: a
    blank belongs to its name.
    """
    if not text:
        return lambda _: True
    if text.lower() == "none":
        return lambda _: False
    wanted = frozenset(text.split(","))
    return lambda event_type: event_type in wanted
