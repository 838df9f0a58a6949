"""The supervisord that is started before anyone knows whether it will be needed."""

import os
import signal
import subprocess
import sys

from nim.process.spawn import Supervisord
from nim.process.tree import look
from tests.fakes.launch import wait_until

THINKS_FOR_EVER = """
import time
from nim.process import start
from nim.process.spawn import Supervisord
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
    assert look(waiting.pid) is not None
    waiting.dismiss()
    assert look(waiting.pid) is None


def test_a_supervisord_that_is_told_nothing_ends_by_itself() -> None:
    waiting = Supervisord.prepare()
    os.close(waiting.word)
    assert os.waitpid(waiting.pid, 0) == (waiting.pid, 0)


def test_a_launcher_that_is_killed_while_it_thinks_takes_its_supervisord_along() -> None:
    launcher = subprocess.Popen([sys.executable, "-c", THINKS_FOR_EVER], stdout=subprocess.PIPE, text=True)
    assert launcher.stdout
    with launcher.stdout:
        pid = int(launcher.stdout.readline())
    assert look(pid) is not None
    launcher.send_signal(signal.SIGKILL)
    assert launcher.wait(30) == -signal.SIGKILL
    wait_until(lambda: (left := look(pid)) is None or left.state in "ZX", "the end of supervisord")
