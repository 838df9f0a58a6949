"""The supervisord that is started early, while the launcher still plans."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from nim.cleanup.read_and_watch_processes import read_process
from nim.supervision.supervisord.start_supervisord import Supervisord
from tests.fakes.launch import wait_until

THINKS_FOR_EVER = """
import time
from nim.supervision import start
from nim.supervision.supervisord.start_supervisord import Supervisord
def think():
    print(supervisord.pid, flush=True)
    time.sleep(60)
prepare = Supervisord.prepare
def remember():
    global supervisord
    supervisord = prepare()
    return supervisord
Supervisord.prepare = remember
start(think, {})
"""


def test_a_refused_start_leaves_no_supervisord() -> None:
    waiting = Supervisord.prepare()
    assert read_process(waiting.pid) is not None
    waiting.dismiss()
    assert read_process(waiting.pid) is None


def test_a_supervisord_without_a_configuration_exits() -> None:
    waiting = Supervisord.prepare()
    assert waiting.word
    os.close(waiting.word)
    assert os.waitpid(waiting.pid, 0) == (waiting.pid, 0)


def test_a_launcher_that_is_killed_while_it_thinks_takes_its_supervisord_along() -> None:
    launcher = subprocess.Popen([sys.executable, "-c", THINKS_FOR_EVER], stdout=subprocess.PIPE, text=True)
    assert launcher.stdout
    with launcher.stdout:
        pid = int(launcher.stdout.readline())
    assert read_process(pid) is not None
    launcher.send_signal(signal.SIGKILL)
    assert launcher.wait(30) == -signal.SIGKILL
    wait_until(lambda: (left := read_process(pid)) is None or left.state in "ZX", "the end of supervisord")


def test_without_a_stdin_it_waits_as_well(directory: Path) -> None:
    script = """
import os
from nim.supervision.supervisord.start_supervisord import Supervisord
os.close(0)
Supervisord.prepare().dismiss()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_supervisor_that_has_ended_too_early_is_left_to_pid_1_to_notice(directory: Path) -> None:
    waiting = Supervisord.prepare()
    os.kill(waiting.pid, signal.SIGKILL)
    os.waitpid(waiting.pid, 0)
    assert waiting.begin(directory, {"WHATEVER": "x" * 100_000}) == waiting.pid
    waiting.dismiss()
