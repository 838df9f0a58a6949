import argparse
import json
from enum import Enum
from typing import Any

import pytest

from nim.engine.arguments.option_row_from_argparse import row_of


class Colour(Enum):
    RED = "red"


def row(*flags: str, **given: Any) -> dict[str, Any]:
    action = argparse.ArgumentParser().add_argument(*flags, **given)
    found = row_of(action, group="G")
    assert found.pop("group") == "G"
    return found


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"type": int, "default": 0}, {"kind": "integer", "count": "one", "default": 0}),
        ({"type": float, "default": 0.5}, {"kind": "number", "count": "one", "default": 0.5}),
        ({}, {"kind": "string", "count": "one"}),
        ({"action": "store_true"}, {"kind": "flag", "count": "none", "default": False}),
        ({"nargs": "+", "default": {"b", "a"}}, {"kind": "string", "count": "many", "default": ["a", "b"]}),
        ({"nargs": "?", "const": True}, {"kind": "string", "count": "optional"}),
        ({"action": "append"}, {"kind": "string", "count": "one", "repeats": True}),
        ({"choices": ["a", None]}, {"kind": "string", "count": "one", "choices": ["a"]}),
        ({"default": Colour.RED}, {"kind": "string", "count": "one", "default": "red"}),
        ({"default": object()}, {"kind": "string", "count": "one"}),
        ({"default": argparse.SUPPRESS}, {"kind": "string", "count": "one"}),
        ({"type": json.loads, "default": {}}, {"kind": "JSON object", "count": "one", "default": {}}),
        ({"type": json.loads, "default": []}, {"kind": "JSON array", "count": "one", "default": []}),
        ({"metavar": "{a,b} or another"}, {"kind": "string", "count": "one", "suggested": ["a", "b"]}),
        ({"metavar": "FILE"}, {"kind": "string", "count": "one"}),
        ({"type": lambda s: s.lower().replace("-", "_")}, {"kind": "folded string", "count": "one"}),
    ],
)
def test_what_an_action_takes(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert row("--x", **given) == {"flags": ["--x"], **expected}


def test_a_pair_of_flags() -> None:
    pair = row("--x", "-x", action=argparse.BooleanOptionalAction)
    assert pair == {"flags": ["--x", "-x"], "negatives": ["--no-x"], "kind": "boolean", "count": "none"}


@pytest.mark.parametrize("reader", [lambda text: text[::-1], complex])
def test_a_new_kind_of_reader_stops_the_generation(reader: Any) -> None:
    with pytest.raises(TypeError, match="is new"):
        row("--x", type=reader)


@pytest.mark.parametrize(
    ("text", "help_text", "deprecated"),
    [
        ("One thing\n  (e.g. `this`). And more.\n\nAnother.", "One thing (e.g. `this`).", None),
        ("50%% of it.", "50% of it.", None),
        ("[DEPRECATED] Old. Use --y.", "[DEPRECATED] Old.", "[DEPRECATED] Old. Use --y."),
        ("--x is deprecated. Use --y.", "--x is deprecated.", "--x is deprecated. Use --y."),
        ("Whether to allow deprecated things.", "Whether to allow deprecated things.", None),
    ],
)
def test_help_and_deprecation(text: str, help_text: str, deprecated: str | None) -> None:
    found = row("--x", help=text)
    assert found["help"] == help_text
    assert found.get("deprecated") == deprecated
