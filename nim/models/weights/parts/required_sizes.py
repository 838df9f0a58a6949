"""Sizes that the computation of weights requires."""

from nim.models.config import ModelConfig, Section


class UnknownSizeError(Exception):
    """A size that a weight needs is not in the configuration."""


def size(config: ModelConfig | Section, *names: str) -> int:
    """Return the value of the first of these keys that is set; raise `UnknownSizeError` if none is."""
    found = config.first_integer(*names)
    if found is None:
        raise UnknownSizeError(names[0])
    return found
