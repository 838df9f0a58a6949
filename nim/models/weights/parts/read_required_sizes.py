"""Read sizes that the computation of weights requires; a missing one is an UnknownSizeError."""

from nim.models.config.model_config import ModelConfig, Section


class UnknownSizeError(Exception):
    """A size that a weight needs is not in the configuration."""


def size(config: ModelConfig | Section, *names: str) -> int:
    """Return the first of these keys' values that is a whole number; raise `UnknownSizeError` if none is."""
    found = config.first_integer(*names)
    if found is None:
        raise UnknownSizeError(names[0])
    return found
