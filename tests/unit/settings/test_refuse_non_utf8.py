"""What is not UTF-8 text is refused in words, whoever reads it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nim.errors import SettingsError
from nim.settings.declared import declared
from nim.settings.refuse_non_utf8 import refuse_other_text

BYTES = "größe\udcff"


@pytest.mark.parametrize("name", [*(one.name for one in declared().values()), "VLLM_X", "HF_HOME", "HOME"])
def test_a_variable_is_named_with_the_place_of_the_byte(name: str) -> None:
    with pytest.raises(SettingsError) as refused:
        refuse_other_text({name: BYTES}, ())
    assert refused.value.message == f"cannot use {name}: byte 8 of its value (0xff) is not UTF-8 text"


def test_an_argument_is_named_by_its_place() -> None:
    with pytest.raises(SettingsError, match="argument 2 of the command line: byte 1 "):
        refuse_other_text({}, ("serve", "\udc80"))


def test_other_text_of_other_variables_is_passed_on() -> None:
    refuse_other_text({"LESS": BYTES, "NIM_MODEL_NAME": "größe"}, ("größe",))


@pytest.mark.parametrize("verb", ["plan", "serve", "profiles", "routes", "fetch", "drain", "model"])
def test_no_verb_prints_a_traceback(verb: str, tmp_path: Path) -> None:
    environ = {**os.environb, b"NIM_MODEL_PATH": b"/model\xff", b"HOME": os.fsencode(tmp_path)}
    command = [sys.executable, "-m", "nim", verb]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    assert "cannot use NIM_MODEL_PATH: byte 7 " in done.stderr
