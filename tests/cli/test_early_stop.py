"""Stop signals that arrive while the start is being planned."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.launch import wait_until

# `nim serve` with a decision that does not come to an end.
THINKS_FOR_EVER = """
import pathlib, sys, time
from nim.cli import main
from nim.cli.verbs import serve
def think(*_):
    pathlib.Path(sys.argv[1]).touch()
    time.sleep(60)
serve.plan_start = think
sys.exit(main(["serve"]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("as_json", ["0", "1"])
def test_a_service_stopped_before_its_start_logs_it(
    tmp_path: Path, number: signal.Signals, as_json: str
) -> None:
    decides = tmp_path / "decides"
    process = subprocess.Popen(
        [sys.executable, "-c", THINKS_FOR_EVER, str(decides)],
        env=os.environ | {"NIM_JSONL_LOGGING": as_json},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    wait_until(decides.exists, "the decision to begin")
    process.send_signal(number)
    out, said = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, b"")
    expected = f"stopped by {number.name} before anything was started, exit code 0"
    if as_json == "1":
        assert json.loads(said)["message"] == expected
    else:
        assert said.decode().endswith(f" nim] {expected}\n")
