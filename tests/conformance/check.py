"""The class of a check: name, source of the expectation, requirements, and a function that raises."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from tests.conformance.target import Target


class Verdict(StrEnum):
    """What became of a check."""

    PASS = "pass"
    FAIL = "fail"
    SKIPPED = "skipped"


class Failed(Exception):
    """The expectation is not met."""


class Skipped(Exception):
    """The expectation cannot be put to the test here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """`run` raises Failed or Skipped, and returns a remark. `rows` are those of rows.py that it is about."""

    name: str
    source: str
    rows: tuple[str, ...]
    run: Callable[[Target], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A check's outcome; `reason` says why it failed or was skipped, or what was seen."""

    name: str
    source: str
    rows: tuple[str, ...]
    verdict: Verdict
    reason: str
    seconds: float


Body = Callable[[Target], str | None]


def check(into: list[Check], name: str, source: str, *rows: str) -> Callable[[Body], Body]:
    """Return a decorator that adds a function to a list of checks."""

    def add(run: Body) -> Body:
        into.append(Check(name=name, source=source, rows=rows, run=run))
        return run

    return add


def expect(true: object, otherwise: str) -> None:
    """Raise Failed unless the condition holds."""
    if not true:
        raise Failed(otherwise)


def run(checks: Iterable[Check], target: Target) -> Iterator[Result]:
    """Yield one result a check, each as it comes. A target that cannot be spoken to has failed."""
    for one in checks:
        begun = time.monotonic()
        verdict, reason = _outcome(one, target)
        seconds = round(time.monotonic() - begun, 3)
        yield Result(
            name=one.name,
            source=one.source,
            rows=one.rows,
            verdict=verdict,
            reason=reason,
            seconds=seconds,
        )


def _outcome(one: Check, target: Target) -> tuple[Verdict, str]:
    try:
        return Verdict.PASS, one.run(target) or ""
    except Skipped as why:
        return Verdict.SKIPPED, str(why)
    except Failed as why:
        return Verdict.FAIL, str(why)
    except Exception as error:
        return Verdict.FAIL, f"{type(error).__name__}: {error}"
