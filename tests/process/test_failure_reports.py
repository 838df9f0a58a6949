"""Reports of a lost engine on stderr, for Kubernetes and in the metadata; no secrets in them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from nim.event_loop import EventLoop
from nim.failures.failure_classes import FAILURE_CLASSES, UNKNOWN, FailureClass
from nim.log_format import Form
from nim.logging.log_line_parsers import Record
from nim.logging.log_writer import LogWriter
from nim.service_state import Phase
from nim.supervision.launch import NEEDED
from tests.fakes.launch import Client, wait_until
from tests.process.conftest import Start
from tests.process.plans import make_plan, rendered
from tests.process.service import Service

pytestmark = pytest.mark.slow

OF_NAME = {kind.name: kind for kind in (*FAILURE_CLASSES, UNKNOWN)}
# Class → the mood in which the engine dies so. What the fake has no words for is put into its mouth.
MOODS: dict[str, dict[str, Any]] = {
    **{name: {"crash": name} for name in ("gpu_oom", "cuda_driver", "port_in_use", "unknown")},
    **{name: {"crash": name} for name in ("bad_argument", "missing_weights", "damaged_weights")},
    "authentication": {"crash": "auth"},
    "shared_memory": {
        "crash_text": "RuntimeError: Insufficient space in /dev/shm for shared-memory allocation"
    },
    "host_oom": {"crash_text": "RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory"},
}


def test_there_is_a_mood_for_every_class() -> None:
    """A fetch fails before there is an engine: tests/process/test_fetch_at_start.py."""
    assert MOODS.keys() | {"fetch"} == OF_NAME.keys()


def block(service: Service, kind: FailureClass) -> list[str]:
    """Return the lines of the one block on stderr that tells of this class, below its head."""
    (first,) = [n for n, line in enumerate(service.lines) if f" nim] engine lost: {kind.name} (" in line]
    length = 1 + next(n for n, line in enumerate(service.lines[first:]) if line.startswith("  hint: "))
    head, *others = service.lines[first : first + length]
    assert head.split()[0] == ("CRITICAL" if service.state().phase is Phase.STOPPED else "ERROR")
    return [head.partition(" nim] ")[2], *others]


def assert_whole(told: list[str], kind: FailureClass, log: list[str]) -> None:
    """Assert that the report has class, message, last log lines and hint, in this order."""
    assert told[0].startswith(f"engine lost: {kind.name} (")
    assert told[1].startswith("  ")
    assert [line.removeprefix("    | ") for line in told[2:-1]] == log
    assert told[-1] == f"  hint: {kind.hint}"


@pytest.mark.parametrize("name", MOODS)
def test_an_engine_that_fails_to_start_ends_the_service_at_once_with_the_reason(
    start: Start, directory: Path, name: str
) -> None:
    kind, for_kubernetes = OF_NAME[name], directory / "termination-log"
    for_kubernetes.write_text("x" * 9999)
    service = start(fast_restarts=True, crash_in="load", **MOODS[name])
    assert service.wait() == kind.exit_code
    failure = service.state().failure
    assert failure
    assert failure.log
    assert_whole(block(service, kind), kind, [*failure.log])
    assert for_kubernetes.read_text().splitlines() == block(service, kind)
    assert (service.verdict()["exit_code"], service.verdict()["failure"]["kind"]) == (kind.exit_code, name)
    assert (failure.kind, service.state().phase) == (name, Phase.STOPPED)
    service.assert_nothing_left()


@pytest.mark.parametrize("name", ["gpu_oom", "unknown"])
def test_a_restarted_loss_is_reported_like_the_last_one(start: Start, directory: Path, name: str) -> None:
    kind = OF_NAME[name]
    (directory / "termination-log").touch()
    service = start(fast_restarts=True, core_death=0.1).wait_ready()
    service.engine.order(crash_in="serve", **MOODS[name])
    service.wait_restarts(1)
    service.wait_ready()
    assert service.state().restarts == ((name, 1),)
    service.wait_said("the engine is started again: restart 1 of 2 in ")
    failure = wait_until(lambda: metadata(service)["state"]["failure"], "the metadata")
    assert (failure["class"], failure["hint"]) == (name, kind.hint)
    assert failure["log"]
    assert_whole(block(service, kind), kind, failure["log"])
    assert service.stop() == 0
    assert not (directory / "termination-log").read_text()


def metadata(service: Service) -> Any:
    """Return what the running service says of itself."""
    status, body = service.get("/v1/metadata")
    assert status == 200
    return json.loads(body)


def test_nothing_need_be_there_for_kubernetes(start: Start, directory: Path) -> None:
    assert start(fast_restarts=True, crash_in="load").wait() == 70
    assert not (directory / "termination-log").exists()


# secrets

SECRET = 'a "quoted" \\ secret'


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("component", ["nim", "engine", "nginx", "middleware", "supervisord"])
def test_a_secret_that_json_spells_differently_is_masked(component: str, as_json: bool) -> None:
    read, write = os.pipe()
    log_writer = LogWriter(Form(as_json=as_json), write, EventLoop(), [SECRET])
    record = Record(level="ERROR", message=f"cannot use {SECRET}")
    log_writer.record(component, record, hint=f"not {SECRET}", log=[f"said {SECRET}"])
    log_writer.block(f"a block with {SECRET}\n", record, log=(SECRET,))
    log_writer.close(1)
    os.close(write)
    with os.fdopen(read) as said:
        text = said.read()
    assert "cannot use ****" in text
    assert "quoted" not in text


@pytest.mark.parametrize("as_json", [True, False])
def test_a_secret_in_the_last_words_of_an_engine_is_masked(directory: Path, as_json: bool) -> None:
    script = directory / "engine.sh"
    plan = make_plan(directory)
    script.write_text(
        f'#!/bin/sh\necho "ERROR: the key is $VLLM_API_KEY"\nexec {" ".join(plan.engine.argv)}\n'
    )
    script.chmod(0o700)
    engine = make_plan(directory, argv=(str(script),), crash_in="compile").engine
    service = Service(rendered(plan, engine=engine, json_logs=as_json), directory, VLLM_API_KEY=SECRET)
    service.wait_live()
    assert service.wait() == 70
    assert "the key is ****" in service.text
    assert "quoted" not in service.text + json.dumps(service.verdict())
    service.stderr.close()


def test_a_secret_in_a_path_is_masked_in_the_access_log(directory: Path) -> None:
    secret = SECRET.replace(" ", "-")
    for as_json in (True, False):
        plan = rendered(make_plan(directory), json_logs=as_json)
        service = Service(plan, directory, VLLM_API_KEY=secret).wait_live()
        Client(plan.gateway.server_port).send("GET", f"/v1/none/{secret}").read()
        service.wait_said("GET /v1/none/****")
        assert service.stop() == 0
        assert "quoted" not in service.text
        service.stderr.close()


# Where a password may be, and what an engine or a library may write of it.
PLANTED: dict[str, Any] = {
    "HF_ENDPOINT": "https://user:endpoint-planted@hub.example",
    "HTTPS_PROXY": "user:proxy%2Fplanted@proxy.example:3128",
    "VLLM_NIXL_AUTHKEY": "authkey-planted",
    "VLLM_CONFIG_OF_A_PLUGIN": '{"auth_token": "json-planted"}',
}
WRITTEN = """ERROR: the hub $HF_ENDPOINT and the proxy $HTTPS_PROXY refused proxy/planted, $VLLM_NIXL_AUTHKEY
ERROR: redis://u:other-planted@h and {'password': 'third-planted'} $VLLM_CONFIG_OF_A_PLUGIN json-planted
"""


@pytest.mark.parametrize("as_json", [True, False])
def test_passwords_in_addresses_and_objects_are_masked_wherever_they_appear(
    directory: Path, as_json: bool
) -> None:
    script = directory / "engine.sh"
    script.write_text(f"#!/bin/sh\ncat <<EOF\n{WRITTEN}EOF\nexit 1\n")
    script.chmod(0o700)
    plan = rendered(make_plan(directory, argv=(str(script),)), json_logs=as_json)
    service = Service(plan, directory, **PLANTED)
    assert service.wait() == 70
    files = [path for path in service.run_dir.rglob("*") if path.is_file()]
    assert {"plan.json", "state.json", "verdict.json"} <= {path.name for path in files}
    texts = [service.text, *(path.read_text() for path in files)]
    assert "https://****@hub.example" in service.text
    assert not [text for text in texts if "planted" in text]
    service.stderr.close()


def test_only_the_engine_is_given_the_secrets(directory: Path) -> None:
    odd = 'a "quoted" %s $HOME; # and\ttext'
    service = Service(make_plan(directory), directory, HF_TOKEN="hf_planted", LC_ODD=odd).wait_ready()
    programs = {"engine": service.api_server, "middleware": service.find_one("nim.middleware")}
    programs["nginx"] = int((service.run_dir / "nginx.pid").read_text())
    environ = {name: Path(f"/proc/{pid}/environ").read_bytes() for name, pid in programs.items()}
    assert {name for name, text in environ.items() if b"planted" in text} == {"engine"}
    given = environ["middleware"].split(b"\0")  # nginx writes its title over its own
    assert {line.partition(b"=")[0].decode() for line in given if line} <= {*NEEDED, "LC_ODD"}
    assert f"LC_ODD={odd}".encode() in given
    assert service.stop() == 0
    service.stderr.close()
