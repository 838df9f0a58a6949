"""Failures that no fake hub can cause: a full disk, a cache that disappears."""

import errno
import os

import pytest

from nim.errors import NimError, PreflightError, WeightsError
from nim.fetch.convert_hub_errors import RAISED, refusal
from nim.plan import Wanted

WANTED = Wanted(repository="org/name", revision=None, cache="/cache/hub")


def refused(error: BaseException) -> NimError:
    return refusal(error, WANTED, {})


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk(number: int) -> None:
    error = refused(OSError(number, os.strerror(number)))
    assert isinstance(error, PreflightError)
    assert error.message == "cannot fetch hf://org/name: no space is left in '/cache/hub'"
    assert error.hint == "df -h '/cache/hub'"


def test_a_full_disk_behind_another_error() -> None:
    error = RuntimeError("could not write")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert isinstance(refused(error), PreflightError)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_cache_that_cannot_be_written(number: int) -> None:
    error = refused(OSError(number, os.strerror(number), "/cache/hub/refs"))
    assert isinstance(error, PreflightError)
    assert error.message == f"cannot fetch hf://org/name into '/cache/hub/refs': {os.strerror(number)}"


def test_other_errors_are_reported_unchanged_in_one_line() -> None:
    error = refused(OSError("Consistency check failed:\n file should be of size 5"))
    assert isinstance(error, WeightsError)
    assert error.message == "cannot fetch hf://org/name: Consistency check failed: file should be of size 5"
    assert refused(RuntimeError()).message == "cannot fetch hf://org/name: RuntimeError"


def test_what_is_wrong_with_us_is_not_the_hub_s_fault() -> None:
    assert not issubclass(TypeError, RAISED)
    assert not issubclass(AssertionError, RAISED)
