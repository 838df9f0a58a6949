"""Each planted fault fails the checks about it, and no others."""

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import start, stop
from tests.conformance.__main__ import CHECKS, COMMANDS, main
from tests.conformance.launcher import Container
from tests.conformance.manifest import problems
from tests.conformance.rows import NOT_ASKED, ROWS
from tests.conformance.start import START
from tests.conformance.stop import STOP
from tests.conformance_test import faulty_service

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
FAULTY_SERVICE = Path(__file__).with_name("faulty_service.py")
HEALTH = "the kubelet's probes are content"
LOADED = "the kubelet's probes are content under load"
PORT = "the health port answers both"
KEY = "a dummy key is no hindrance"
LIVE_EARLY = "live answers while it loads"
READY_EARLY = "ready fails while it loads, and then is true"
LAST = "the command line wins, and of a flag the last"
# Only an image has these.
OF_IMAGES = {
    "the manifest can be printed by sh and cat",
    "it sleeps when told to",
    "it is not labelled for the other protocol",
}

FAULTS: dict[str, set[str]] = {
    "": set(),
    "live status": {"live answers 200", HEALTH, LOADED, PORT},
    "live body": {"live has the documented body"},
    "live headers": {"live is JSON that nobody may keep"},
    "ready status": {"ready answers 200", HEALTH, LOADED, PORT},
    "ready body": {"ready has the documented body"},
    "ready headers": {"ready is JSON that nobody may keep"},
    "slow live": {HEALTH, LOADED},
    "busy": {LOADED},
    "key": {KEY},
    "models": {"models is a list with names"},
    "no base": {"among several models the base is found"},
    "metadata": {"metadata names the model"},
    "version": {"version names release and API"},
    "license": {"license has its text"},
    "manifest": {"manifest has profiles"},
    "metrics": {"metrics are Prometheus text"},
    "openapi": {"openapi.json lists them"},
    "role": {"chat completions answer"},
    "chunk": {"chat streams are well formed"},
    "no end": {"chat streams are well formed"},
    "field": {"chat streams are well formed"},
    "no stream": {"chat streams are well formed"},
    "completions": {"completions answer"},
    "no messages": {"messages answer", "message streams begin and end", KEY},
    "message stop": {"message streams begin and end"},
    "count": {"tokens of a message are counted"},
    "html": {
        "an unknown path is 404 with an error object",
        "an unknown model is 404 with an error object",
        "broken JSON is 400 with an error object",
    },
    "unknown model": {"an unknown model is 404 with an error object"},
    "broken json": {"broken JSON is 400 with an error object"},
    "request id": {"a request id comes back"},
    "small": {"a body of 3 MB is taken"},
}
# These want a process or a command.
PROGRAM_FAULTS: dict[str, set[str]] = {
    "": set(),
    "exit code": {"SIGTERM ends it within 30 s"},
    "deaf": {"SIGTERM ends it within 30 s"},
    "profiles": {"list-model-profiles lists"},
    "help nim-serve": {"nim-serve explains itself"},
    "help code list-model-profiles": {"list-model-profiles explains itself"},
    "help download-to-cache": {"download-to-cache explains itself"},
    "help create-model-store": {"create-model-store explains itself"},
    "forgiving": {"an unknown profile is refused with an exit code"},
    "path": {"NIM_MODEL_NAME may be a path"},
    "groups": {"profiles are grouped by what runs here"},
    "listed": {"a profile that is listed as runnable is taken"},
    "passthrough wins": {LAST},
    "torn": {"JSON in passthrough arrives whole"},
    "late": {LIVE_EARLY},
    "stillborn": {LIVE_EARLY},
    "accepted": {READY_EARLY},
    "hasty": {READY_EARLY},
    "no health port": {PORT},
    "clings": {"SIGTERM ends it within 30 s"},
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Yield the address of the faulty service, run in this process; each test sets its fault."""
    server = faulty_service.Server(("127.0.0.1", 0), faulty_service.Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def program(tmp_path: Path) -> str:
    """Return the stranger as a program by itself."""
    path = tmp_path / "stranger"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -I {FAULTY_SERVICE} "$@"\n', encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def judge(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    """Return exit code and results by name."""
    code = main([*arguments, "--json", "--ready-seconds", "30"])
    return code, {one["name"]: one for one in json.loads(capsys.readouterr().out)}


def names(results: dict[str, Any], verdict: str) -> set[str]:
    return {name for name, one in results.items() if one["verdict"] == verdict}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_service_fails_its_own_checks_and_no_others(
    fault: str, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(faulty_service, "FAULTS", {fault})
    code, results = judge(capsys, "--url", url, "--health-url", url)
    told = {name: results[name]["reason"] for name in names(results, "fail")}
    assert set(told) == FAULTS[fault], told
    assert all(told.values())
    assert code == (1 if FAULTS[fault] else 0)
    assert names(results, "skipped") == {one.name for one in (*COMMANDS, *START, *STOP)}


@pytest.mark.parametrize("fault", PROGRAM_FAULTS)
def test_a_fault_of_the_program_fails_its_own_checks_and_no_others(
    fault: str, program: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STRANGER_FAULTS", fault)
    if fault in ("deaf", "clings"):
        monkeypatch.setattr(stop, "GRACE_SECONDS", 0.5)
    if fault == "late":  # as one that is silent until it is ready, and takes longer than a probe waits
        monkeypatch.setattr(start, "LIVE_SECONDS", 0.0)
    code, results = judge(capsys, "--program", program, "--model-path", "/models/a")
    assert names(results, "fail") == PROGRAM_FAULTS[fault]
    assert code == (1 if PROGRAM_FAULTS[fault] else 0)
    assert names(results, "skipped") == OF_IMAGES


def test_a_service_that_does_not_take_the_operators_environment_fails(
    program: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STRANGER_FAULTS", "operator")
    code, results = judge(capsys, "--program", program, "--only", "environment", "--only", "answers 200")
    assert code == 1
    assert names(results, "fail") == set(results)


def test_each_check_fails_for_some_fault() -> None:
    """Else it might be one that cannot fail."""
    of_others = {"the operator's environment is taken"}
    failing = set().union(*FAULTS.values(), *PROGRAM_FAULTS.values())
    assert {one.name for one in CHECKS} - OF_IMAGES == failing | of_others


def test_each_row_is_checked_or_it_is_said_why_not() -> None:
    checked = {row for one in CHECKS for row in one.rows}
    assert checked | set(NOT_ASKED) == set(ROWS)
    assert not checked & set(NOT_ASKED)
    assert all(one.rows for one in CHECKS)


def test_without_a_service_every_check_that_sends_requests_fails(capsys: pytest.CaptureFixture[str]) -> None:
    code, results = judge(capsys, "--url", "http://127.0.0.1:1", "--only", "answer")
    assert code == 1
    assert names(results, "fail") == set(results) - names(results, "skipped") != set()


def test_the_list_has_every_row_and_every_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == list(ROWS)
    assert all(any(line.startswith(f"{'':5}{one.name} ") for line in lines) for one in CHECKS)
    assert sum("not asked: " in line for line in lines) == len(NOT_ASKED)


def test_the_table_is_for_people(program: str) -> None:
    env = os.environ | {"STRANGER_FAULTS": "license"}
    command = [sys.executable, "-m", "tests.conformance", "--program", program]
    done = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("FAIL") and "license has its text" in line for line in lines)
    assert (
        lines[lines.index(next(line for line in lines if line.startswith("FAIL"))) + 1].strip()
        == "content is empty"
    )
    assert ", 1 fail, 4 skipped" in lines[-1]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "no mapping"),
        ({}, "no profile"),
        ({"schema_version": "1.0", "profile_selection_criteria": "x", "profiles": []}, "not 2"),
        ({"schema_version": "2.0.0", "profiles": []}, "profile_selection_criteria is missing"),
        ({"schema_version": "2.0.0", "profile_selection_criteria": "x", "profiles": {}}, "not a list"),
        ({"abc": {"tags": {"llm_engine": "vllm"}}}, "not 64 hex digits"),
        ({"ab" * 32: {}}, "no tags"),
        ({"ab" * 32: {"tags": {"tp": "1"}}}, "names no engine"),
        ({"ab" * 32: {"tags": {"backend": "vllm", "tp": 1}}}, "the tag tp is no string"),
    ],
)
def test_a_manifest_unreadable_for_the_operator_is_reported(document: Any, said: str) -> None:
    assert any(said in problem for problem in problems(document))


def test_both_versions_of_a_manifest_are_read() -> None:
    assert not problems({"ab" * 32: {"tags": {"backend": "triton"}}})
    profile = {"id": "cd" * 32, "tags": {"llm_engine": "vllm"}}
    assert not problems(
        {"schema_version": "2.0.0", "profile_selection_criteria": "default", "profiles": [profile]}
    )


def test_an_image_that_cannot_be_inspected_is_not_one_without_a_label() -> None:
    with pytest.raises(RuntimeError, match="cannot inspect none"):
        Container("none", ("false",)).label("a.b")
    assert 'index . "a.b"' in Container("none", ("echo",)).label("a.b")


def test_a_manifest_is_printed_in_the_place_of_the_entry_point() -> None:
    """As Kubernetes' `command:`: an entry point that hands nothing on is no fault."""
    said = Container("an-image", ("echo",)).run_alone(["sh", "-c", "cat /x"]).stdout
    assert said.endswith(" --rm --entrypoint sh an-image -c cat /x\n")
