"""Records on one line each, without characters that control a terminal or reorder text."""

import json
import sys
import unicodedata

import pytest

from nim.log_format import Form, printable, visible

# Everything that controls or reorders, by Unicode's own data; joiners, which emoji need, do neither.
BIDI = ("LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI")
TROUBLE = [
    chr(code)
    for code in range(sys.maxunicode + 1)
    if unicodedata.category(chr(code)) in ("Cc", "Zl", "Zp") or unicodedata.bidirectional(chr(code)) in BIDI
]


@pytest.mark.parametrize("as_json", [True, False])
def test_no_character_of_a_message_controls_the_reader(as_json: bool) -> None:
    line = Form(as_json=as_json).line("INFO", "nim", "".join(["a", *TROUBLE, "b"]), at=0)
    allowed = set() if as_json else {"\t"}
    assert set(TROUBLE) & set(line[:-1]) == allowed
    assert line.endswith("\n")
    assert not as_json or json.loads(line)["message"] == "".join(["a", *TROUBLE, "b"])


def test_other_text_is_written_as_it_is() -> None:
    text = "größer: 模型 👩‍💻 \t é"
    assert visible(text) == text


def test_line_breaks_may_stay() -> None:
    assert printable("a\n\x9b31mb") == "a\n\\x9b31mb"
