import json
import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nim.engine.arguments.read_unquoted_json import (
    NotJSONError,
    guess,
    is_open,
    read_json,
    read_loosely,
    write_json,
)
from tests.unit.engine.strategies import json_values, unhurried

names = st.from_regex(r"[A-Za-z][A-Za-z0-9_./-]{0,8}", fullmatch=True).filter(
    lambda name: name.lower() not in ("true", "false", "null", "none")
)
leaves = st.one_of(names, st.integers(-9999, 9999), st.booleans(), st.none())
bare_values = st.dictionaries(
    names,
    st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)
    ),
    max_size=3,
)


@unhurried
@given(bare_values, st.booleans())
def test_json_whose_quotes_a_shell_ate_is_read_as_it_was(value: dict[str, Any], compact: bool) -> None:
    text = json.dumps(value, separators=(",", ":")) if compact else json.dumps(value)
    assert read_loosely(" ".join(shlex.split(text))) == value


@unhurried
@given(json_values)
def test_writing_is_undone_by_reading(value: Any) -> None:
    text = write_json(value)
    assert read_json(text) == value
    text.encode("utf-8")


def test_a_lone_surrogate_is_escaped() -> None:
    assert write_json({"a": "\ud800é"}) == '{"a":"\\ud800\\u00e9"}'
    assert write_json({"a": "🚀"}) == '{"a":"🚀"}'


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{method:mtp,num_speculative_tokens:2}", {"method": "mtp", "num_speculative_tokens": 2}),
        ("{ method: mtp , on: true }", {"method": "mtp", "on": True}),
        ("'{\"a\": 1}'", {"a": 1}),
        ('{\\"a\\": \\"b c\\"}', {"a": "b c"}),
        ("{'a': 'b c'}", {"a": "b c"}),
        ("{“a”: “b”}", {"a": "b"}),
        ("{url:http://x:1/y,n:-1.5e3}", {"url": "http://x:1/y", "n": -1500.0}),
        ("{version:007}", {"version": "007"}),
        ("[*]", ["*"]),
        ("{}", {}),
    ],
)
def test_understood(text: str, value: Any) -> None:
    assert read_loosely(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "{a:b c}",
        "{a:b,c}",
        "{a:b,a:c}",
        "{a:}",
        "{a:1,}",
        "{a:1",
        "{a:1}}",
        "{a:True}",
        "{a:None}",
        "{a:1e999}",
        "mtp",
        "",
        "{" * 100_000,
    ],
)
def test_not_understood(text: str) -> None:
    with pytest.raises(NotJSONError):
        read_loosely(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{a:b c,d:True", {"a": "b c", "d": True}),
        ("method:mtp,n:2", {"method": "mtp", "n": 2}),
        ('{"a": 1,}', {"a": 1}),
        ("{:}", None),
    ],
)
def test_a_guess_is_made_for_showing(text: str, value: Any) -> None:
    assert guess(text) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "a": 2}', 'the key "a" is written twice'),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ('{"a": 1e999}', "1e999 is not a JSON number"),
        ('{"a": 1', "at character 8"),
        ("[" * 100_000, "nested too deep"),
    ],
)
def test_strict_reading_says_why_not(text: str, reason: str) -> None:
    with pytest.raises(NotJSONError, match=reason):
        read_json(text)


def test_is_open_counts_brackets_outside_strings() -> None:
    assert is_open('{"a": "}"')
    assert not is_open('{"a": "{"}')
    assert is_open("{a:")
    assert not is_open("a{")
