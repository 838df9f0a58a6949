"""Whether a model fits GPUs of a given memory, and the longest context they hold."""

from dataclasses import dataclass, replace

from nim.models.cache import CacheSettings, cache_bytes, longest_context, spare_block_bytes
from nim.models.types import ModelReading


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Bytes of one rank. `free_bytes` is what is left for the cache; negative where the weights do not fit.

    `longest` is the longest context that this holds, up to what the model takes; None where it is unknown.
    """

    usable_bytes: int
    free_bytes: int
    needed_bytes: int | None
    longest: int | None

    @property
    def fits(self) -> bool | None:
        """Return whether the requested context fits; None if the cache's size is unknown."""
        if self.free_bytes <= 0:
            return False
        return None if self.needed_bytes is None else self.needed_bytes <= self.free_bytes


def fit_rank(
    reading: ModelReading,
    settings: CacheSettings,
    *,
    usable_bytes: int,
    weights_bytes: int,
    workspace_bytes: int,
) -> Fit:
    """Return the fit of a rank that may use `usable_bytes`, with its weights and a workspace."""
    free = usable_bytes - weights_bytes - workspace_bytes
    cache, spare = cache_bytes(reading, settings), spare_block_bytes(reading, settings)
    whole = replace(settings, context=reading.context.limit if reading.context else settings.context)
    return Fit(
        usable_bytes=usable_bytes,
        free_bytes=free,
        needed_bytes=None if cache is None else cache + (spare or 0),
        longest=longest_context(reading, free, whole),
    )
