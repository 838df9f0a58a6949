"""Stop signals that arrive while the start is being planned."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("as_json", ["0", "1"])
def test_a_service_stopped_before_its_start_logs_it(
    tmp_path: Path, number: signal.Signals, as_json: str
) -> None:
    manifest = tmp_path / "manifest.yaml"
    os.mkfifo(manifest)  # who reads it waits for a writer: that is where the signal comes
    env = os.environ | {"NIM_MANIFEST_PATH": str(manifest), "NIM_JSONL_LOGGING": as_json}
    process = subprocess.Popen(
        [sys.executable, "-m", "nim", "serve"], env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    writer = _opened_for_writing(manifest)
    time.sleep(0.5)  # now it reads: a signal right before that would not wake it
    process.send_signal(number)
    out, said = process.communicate(timeout=60)
    os.close(writer)
    assert (process.returncode, out) == (0, b"")
    expected = f"stopped by {number.name} before anything was started, exit code 0"
    if as_json == "1":
        assert json.loads(said)["message"] == expected
    else:
        assert said.decode().endswith(f" nim] {expected}\n")


def _opened_for_writing(fifo: Path) -> int:
    """Return a descriptor for writing, once the pipe has a reader."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.01)
