"""Sizes that a weight cannot be without."""

from nim.models.config import ModelConfig, Section


class UnknownSizeError(Exception):
    """A size that a weight needs is not in the configuration."""


def size(config: ModelConfig | Section, *names: str) -> int:
    """Return the first of these sizes; raise `UnknownSizeError` where there is none."""
    found = config.whole(*names)
    if found is None:
        raise UnknownSizeError(names[0])
    return found
