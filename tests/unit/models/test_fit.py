"""Whether a model fits on a rank."""

from nim.models.cache import CacheSettings
from nim.models.fit import Fit, fit_rank
from nim.models.types import ModelReading
from tests.unit.models.models import LLAMA, reading

GIB = 2**30
BLOCK = 2 * 2**20  # of 16 tokens in 32 layers


def fit(model: ModelReading, usable: int, context: int = 131072) -> Fit:
    settings = CacheSettings(context=context)
    return fit_rank(model, settings, usable_bytes=usable, weights_bytes=16 * GIB, workspace_bytes=GIB)


def test_context_with_the_spare_block_must_fit() -> None:
    enough = 33 * GIB + BLOCK
    assert fit(reading(LLAMA), enough).fits
    assert fit(reading(LLAMA), enough - 1).fits is False


def test_longest_context_is_known_where_the_one_asked_for_does_not_fit() -> None:
    found = fit(reading(LLAMA), 25 * GIB)
    assert found.fits is False
    assert found.longest == 65536 - 16


def test_longest_context_is_not_bound_by_the_one_asked_for() -> None:
    assert fit(reading(LLAMA), 25 * GIB, context=1024).longest == 65536 - 16


def test_weights_alone_may_be_too_much() -> None:
    found = fit(reading(LLAMA), 16 * GIB)
    assert found.free_bytes == -GIB
    assert (found.fits, found.longest) == (False, 0)


def test_unknown_cache_neither_fits_nor_does_not() -> None:
    found = fit(ModelReading(), 80 * GIB)
    assert (found.needed_bytes, found.longest, found.fits) == (None, None, None)
