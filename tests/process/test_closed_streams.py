"""A service whose standard streams were closed by whoever started it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nim.plan import Plan
from tests.fakes.launch import Client, wait_until
from tests.process.plans import make_plan

# What `nim serve` does, with a plan that is made already.
SERVES = """
import sys
from pathlib import Path
from nim.cli import main
from nim.cli.verbs import serve
from nim.plan import Plan
serve.plan_start = lambda *_: Plan.from_json(Path(sys.argv[1]).read_text())
sys.exit(main(["serve"]))
"""


@pytest.mark.parametrize(
    "closed",
    [
        "0<&-",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("1>&-", "2>&-", "0<&- 1>&-")),
        "0<&- 1>&- 2>&-",
    ],
)
def test_it_becomes_ready_and_ends(directory: Path, closed: str) -> None:
    plan = make_plan(directory)
    (directory / "plan.json").write_text(plan.to_json())
    (directory / "serve.py").write_text(SERVES)
    command = f'exec "$@" {closed}'
    words = ["sh", "-c", command, "sh", sys.executable, f"{directory}/serve.py", f"{directory}/plan.json"]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(words, env=environ, start_new_session=True)
    try:
        wait_until(lambda: process.poll() is not None or is_ready(plan), "readiness")
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
    assert code == 0


def is_ready(plan: Plan) -> bool:
    try:
        answer = Client(plan.gateway.server_port).send("GET", "/v1/health/ready")
    except OSError:
        return False
    answer.read()
    return answer.status == 200


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_other_verbs_end_without_a_traceback(closed: str) -> None:
    command = f'exec "$@" {closed}'
    words = ["sh", "-c", command, "sh", sys.executable, "-m", "nim", "settings", "NIM_SERVER_PORT"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
