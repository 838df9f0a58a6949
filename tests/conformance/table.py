"""Print the results as a table or JSON."""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict

from tests.conformance.check import Result, Verdict

MARKS = {Verdict.PASS: "pass", Verdict.FAIL: "FAIL", Verdict.SKIPPED: "skipped"}
NAME_WIDTH = 52
REASON_WIDTH = 160


def line(result: Result) -> str:
    """Return one result, and under it why it is not a pass."""
    text = f"{MARKS[result.verdict]:<8} {result.name:<{NAME_WIDTH}} {result.source}"
    if result.verdict is Verdict.PASS:
        return text
    return f"{text}\n{'':9}{textwrap.shorten(result.reason, REASON_WIDTH, placeholder=' …')}"


def summary(results: Sequence[Result]) -> str:
    """Return how many of each."""
    counts = {verdict: sum(one.verdict is verdict for one in results) for verdict in Verdict}
    return ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items())


def as_json(results: Sequence[Result]) -> str:
    """Return everything."""
    return json.dumps([asdict(one) for one in results], indent=1, ensure_ascii=False)
