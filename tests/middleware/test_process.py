"""The middleware as a process: started as by supervisord, used over its socket, stopped."""

import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from nim.plan import MIDDLEWARE_SOCKET, Plan
from tests.middleware.conftest import GENEROUS_SECONDS, put_plan, wait_for

COMMAND = (sys.executable, "-W", "error", "-m", "nim.middleware")


@contextmanager
def running(plan: Plan, **started: Any) -> Iterator[subprocess.Popen[str]]:
    """Yield the program, answering; killed at the end if it is still there."""
    put_plan(plan)
    options = {"args": [*COMMAND, plan.run_dir]} | started
    with subprocess.Popen(**options, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_for(lambda: process.poll() is not None or answers(plan))
            yield process
        finally:
            process.kill()


def answers(plan: Plan) -> bool:
    try:
        return get(plan, "/v1/version") == (200, {"release": plan.release, "api": "1.0.0"})
    except OSError:
        return False


def get(plan: Plan, path: str) -> tuple[int, Any]:
    """Return status and JSON body, by a client that has nothing of ours."""
    connection = http.client.HTTPConnection("service", timeout=GENEROUS_SECONDS)
    with socket.socket(socket.AF_UNIX) as connection.sock:
        connection.sock.settimeout(GENEROUS_SECONDS)
        connection.sock.connect(str(plan.file(MIDDLEWARE_SOCKET)))
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def ends(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return exit code and everything it wrote to stderr."""
    _, written = process.communicate(timeout=GENEROUS_SECONDS)
    return process.returncode, written


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_on_a_stop_signal(plan: Plan, number: signal.Signals) -> None:
    with running(plan) as process:
        process.send_signal(number)
        code, written = ends(process)
    assert code == 0
    assert written.splitlines() == [
        f'INFO nim.middleware.serve: middleware answers at "{plan.file(MIDDLEWARE_SOCKET)}"'
    ]
    assert not plan.file(MIDDLEWARE_SOCKET).exists()


def test_the_environment_may_name_the_run_directory(plan: Plan) -> None:
    with running(plan, args=COMMAND, env=os.environ | {"NIM_RUN_DIR": plan.run_dir}) as process:
        process.terminate()
        assert ends(process)[0] == 0


def test_only_our_own_user_reaches_the_socket(plan: Plan) -> None:
    with running(plan):
        assert stat.S_IMODE(plan.file(MIDDLEWARE_SOCKET).stat().st_mode) == 0o700


def test_it_starts_again_after_it_was_killed(plan: Plan) -> None:
    with running(plan) as process:
        process.kill()
        ends(process)
    assert plan.file(MIDDLEWARE_SOCKET).is_socket(), "it had no chance to clear away"
    with running(plan) as process:
        assert get(plan, "/v1/health/startup")[0] == 503
        process.terminate()
        assert ends(process)[0] == 0


def test_an_answer_under_way_does_not_hold_up_the_end(plan: Plan) -> None:
    """The engine accepts and never answers; whoever asked for its document gets no answer either."""
    assert plan.engine.socket is not None
    with socket.socket(socket.AF_UNIX) as engine, running(plan) as process:
        engine.bind(plan.engine.socket)
        engine.listen()
        engine.settimeout(GENEROUS_SECONDS)
        refused: list[BaseException] = []
        asking = Thread(target=_ask, args=(plan, "/openapi.json", refused))
        asking.start()
        taken, _ = engine.accept()
        process.terminate()
        assert ends(process)[0] == 0
        asking.join(GENEROUS_SECONDS)
        taken.close()
    assert len(refused) == 1


def _ask(plan: Plan, path: str, refused: list[BaseException]) -> None:
    try:
        get(plan, path)
    except (OSError, http.client.HTTPException) as error:
        refused.append(error)


def test_it_follows_the_plan_s_log_level(plan: Plan) -> None:
    with running(replace(plan, log_level="WARNING")) as process:
        process.terminate()
        assert ends(process) == (0, "")


def test_without_a_run_directory_it_says_what_to_type(plan: Plan) -> None:
    env = {key: value for key, value in os.environ.items() if key != "NIM_RUN_DIR"}
    done = subprocess.run(COMMAND, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        7,
        "cannot serve without a run directory\n  hint: python -m nim.middleware RUN_DIR\n",
    )


@pytest.mark.parametrize("text", [None, "{", "{}", '{"format": 99}'])
def test_without_a_plan_it_refuses(plan: Plan, tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "plan.json").write_text(text)
    done = subprocess.run([*COMMAND, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert done.stderr.startswith(f'cannot read the plan "{tmp_path}/plan.json": ')


def test_what_is_not_a_socket_is_not_removed(plan: Plan) -> None:
    put_plan(plan)
    precious = plan.file(MIDDLEWARE_SOCKET)
    precious.write_text("precious")
    done = subprocess.run([*COMMAND, plan.run_dir], capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert done.stderr.startswith(f'cannot listen at "{precious}": ')
    assert precious.read_text() == "precious"


def test_it_stays_small() -> None:
    """Nothing heavy comes in by the way: what is not needed to answer is not imported."""
    heavy = ["jinja2", "yaml", "rich", "supervisor", "vllm", "torch", "uvloop", "pynvml", "huggingface_hub"]
    code = f"import sys, nim.middleware.serve; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
