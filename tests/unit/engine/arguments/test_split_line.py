import json
import re
import shlex

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nim.engine.arguments.quoting import joined
from nim.engine.arguments.split_line import read_line, tokenize
from nim.errors import SettingsError
from tests.unit.engine.strategies import AWKWARD, unhurried

PLACE = "NIM_PASSTHROUGH_ARGS"
words = st.lists(
    st.one_of(st.sampled_from(AWKWARD), st.text().filter(lambda text: "\0" not in text)), max_size=6
)


def split(text: str) -> list[str]:
    return list(tokenize(text, place=PLACE))


def plain(tokens: list[str]) -> bool:
    """Return whether no word holds a whole line in quotes, as `docker --env-file` makes of one."""
    return len(tokens) != 1 or not tokens[0].startswith(("-", "["))


@unhurried
@given(words.filter(plain))
@example(AWKWARD)
@example(["[", "{", '{"a":1}', '["x"]'])
def test_what_a_shell_joined_comes_apart_unharmed(tokens: list[str]) -> None:
    assert split(shlex.join(tokens)) == tokens
    assert split(joined(tokens)) == tokens


@unhurried
@given(words)
def test_a_json_array_of_strings_is_its_strings(tokens: list[str]) -> None:
    assert split(json.dumps(tokens)) == tokens


@unhurried
@given(st.text(alphabet="ab '\"\\\t\r\n$;%*~`", max_size=30))
def test_the_rules_are_those_of_posix(text: str) -> None:
    """All but a backslash at the end of a line, which a shell takes away, also where blanks follow it."""
    mended = text
    while (shorter := re.sub(r"\\[ \t\r]*(\n|$)", "", mended)) != mended:
        mended = shorter
    try:
        expected = shlex.split(mended)
    except ValueError:
        with pytest.raises(SettingsError):
            split(mended)
    else:
        assert split(mended) == expected


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        (" \n\t ", []),
        ("''", [""]),
        ("--a #b ;c $D `e` *", ["--a", "#b", ";c", "$D", "`e`", "*"]),
        ("--a 1\n--b 2", ["--a", "1", "--b", "2"]),
        ("--a 1 \\\n  --b 2", ["--a", "1", "--b", "2"]),
        ('--a "x\\\ny"', ["--a", "xy"]),
        ('--a "\\$x \\" \\\\"', ["--a", '\\$x " \\']),
        ("--a=b' 'c", ["--a=b c"]),
    ],
)
def test_splitting(text: str, tokens: list[str]) -> None:
    assert split(text) == tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ('--s {"method":"mtp","n":2} --t', ["--s", '{"method":"mtp","n":2}', "--t"]),
        ('--s {"method": "m t p", "n": 2}', ["--s", '{"method": "m t p", "n": 2}']),
        ('--s={"a": [1, 2]} x', ['--s={"a": [1, 2]}', "x"]),
        ('--s ["a", "b"]', ["--s", '["a", "b"]']),
        ("--s {}", ["--s", "{}"]),
        # What is not JSON as it stands, or does not end at white space, goes by the shell's rules.
        ('--s {"a": 1', ["--s", "{a:", "1"]),
        ('--s {"a":1}x', ["--s", "{a:1}x"]),
        ('x{"a":1}', ["x{a:1}"]),
        ("--s '{\"a\": 1}'", ["--s", '{"a": 1}']),
    ],
)
def test_json_without_outer_quotes_is_one_token(text: str, tokens: list[str]) -> None:
    assert split(text) == tokens


@pytest.mark.parametrize(
    ("text", "tokens", "note"),
    [
        # docker --env-file keeps the quotes, and the backslashes in them.
        ('"--a 0.40 --b 4"', ["--a", "0.40", "--b", "4"], "the quotes around all of it"),
        ('"--a=0.40 --b=4"', ["--a=0.40", "--b=4"], "the quotes around all of it"),
        ("'--a 0.40 --b 4'\n", ["--a", "0.40", "--b", "4"], "the quotes around all of it"),
        ('"--s {\\"m\\":\\"x\\"}"', ["--s", '{"m":"x"}'], "the quotes around all of it"),
        ('"--s \'{"m": "x", "n": 2}\' --b"', ["--s", '{"m": "x", "n": 2}', "--b"], "the quotes around"),
        ("'--s '{\"m\":\"x\"}''", ["--s", '{"m":"x"}'], "the quotes around all of it"),
        ('\'["--a", "1"]\'', ["--a", "1"], "the quotes around all of it"),
        # Lists of YAML, of Python, and of a JSON array's neighbours.
        ("- --a\n- '1'\n- --b x\n", ["--a", "1", "--b", "x"], "read as a YAML list"),
        ("['--a', '1 2']", ["--a", "1 2"], 'the JSON array ["--a", "1 2"]'),
        ("[--a, 1, --b]", ["--a", "1", "--b"], 'the JSON array ["--a", "1", "--b"]'),
        ('["--a", "1"],', ["--a", "1"], 'the JSON array ["--a", "1"]'),
        # What a word processor, a web page or a chat makes of it.
        ("--a\u00a01 --b\u202f2", ["--a", "1", "--b", "2"], "U+00A0 is read as a blank"),
        ("\ufeff--a 1\u200b", ["--a", "1"], "U+FEFF is left out"),
        ("--a “b c” --d=‘e f’", ["--a", "b c", "--d=e f"], "the typographic quotes around 'b c'"),
        ("--s ‘{“m”: “x”}’", ["--s", "{“m”: “x”}"], "the typographic quotes"),
        ("--a „b c“ «d e»", ["--a", "b c", "d e"], "the typographic quotes"),
        # Backslashes whose lines have gone on behind them, and comments.
        ("--a 1 \\ --b 2", ["--a", "1", "--b", "2"], "a backslash between blanks"),
        ("--a 1 # the first\n--b 2 # x", ["--a", "1", "--b", "2"], "'# the first' is left out as a comment"),
        ("# all\n--a 1", ["--a", "1"], "'# all' is left out as a comment"),
    ],
)
def test_what_pasting_leaves_is_understood_and_noted(text: str, tokens: list[str], note: str) -> None:
    line = read_line(text, place=PLACE)
    assert list(line.tokens) == tokens
    assert any(note in said for said in line.notes), line.notes


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("--a 1 \\\r\n--b 2\r\n", ["--a", "1", "--b", "2"]),
        ("--a 1 \\  \n  --b 2 \\\n", ["--a", "1", "--b", "2"]),
        ("--a 1 \\", ["--a", "1"]),
        ("--a '1 \u00a0 “x” # y'", ["--a", "1 \u00a0 “x” # y"]),
        ("--a #1 b#c '# d' #", ["--a", "#1", "b#c", "# d", "#"]),
        ("--a it’s “open", ["--a", "it’s", "“open"]),
        ("'--a'", ["--a"]),
        ("'--a' 'b c'", ["--a", "b c"]),
        ("- --a", ["-", "--a"]),
        ("'a b'", ["a b"]),
        ("'--a={{ b }}'", ["--a={{ b }}"]),
    ],
)
def test_what_is_plain_needs_no_note(text: str, tokens: list[str]) -> None:
    line = read_line(text, place=PLACE)
    assert (list(line.tokens), line.notes) == (tokens, ())


def test_a_secret_in_a_reported_array_is_masked() -> None:
    (note,) = read_line("['--hf-token', 'planted']", place=PLACE).notes
    assert "planted" not in note


def test_a_json_array_takes_numbers_as_written_and_objects() -> None:
    text = '["--x", 8192, 1.8e+06, 0.90, {"a": "é 🚀", "n": 1.5}]'
    assert split(text) == ["--x", "8192", "1.8e+06", "0.90", '{"a":"é 🚀","n":1.5}']


@pytest.mark.parametrize(
    ("text", "problem", "hint"),
    [
        ("--a 'b c", "the ' at column 5 is never closed", "--a 'b c'"),
        ('--a "b c', 'the " at column 5 is never closed', "--a 'b c'"),
        ("--a it's", "the ' at column 7 is never closed", '--a "it\'s"'),
        ("--a\n--b='c", "the ' at line 2, column 5 is never closed", "--a --b=c"),
        ("--a b\\", "nothing follows the backslash at column 6", "written twice"),
        ("['--a', True]", "as a JSON array: expecting value", '["--max-model-len", "8192"]'),
        ('["--a", ', "as a JSON array: expecting value at line 1, column", '["--max-model-len", "8192"]'),
        ('["--a", true]', "true", "--enable-x"),
        ('["--a", null]', "null", "--enable-x"),
        ('["--a", [1]]', "[1]", "--enable-x"),
        ('["a\\u0000b"]', "zero byte", ""),
        ('["\\ud800"]', "surrogate", ""),
        ("[" * 100_000, "nested too deep", ""),
    ],
)
def test_errors_say_where_and_what_to_type(text: str, problem: str, hint: str) -> None:
    with pytest.raises(SettingsError) as error:
        split(text)
    assert problem in error.value.message
    assert PLACE in error.value.message
    assert hint in (error.value.hint or "")


def test_the_corrected_form_splits_and_hides_secrets() -> None:
    with pytest.raises(SettingsError) as error:
        split("--hf-token planted-secret --chat-template 'x y")
    assert "planted-secret" not in str(error.value)
    assert split(error.value.hint or "")[-1] == "x y"
