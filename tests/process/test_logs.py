"""The log of a running service on stderr."""

import fcntl
import json
import os
import re
import signal
from pathlib import Path

import pytest

from nim.log_format import Form, severity
from tests.fakes.launch import wait_until
from tests.process.conftest import Start
from tests.process.plans import make_plan, rendered
from tests.process.service import Service

pytestmark = pytest.mark.slow

HUMAN = re.compile(
    r"(DEBUG|INFO|WARNING|ERROR|CRITICAL) \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} "
    r"(nim|engine|nginx|middleware|supervisord|gateway)\] .+"
)
FLOOD_LINES = 80_000


def flooding(directory: Path) -> tuple[str, ...]:
    """Return an engine that says far more than anybody reads, and serves then."""
    plan = make_plan(directory)
    script = directory / "engine.sh"
    script.write_text(
        f"#!/bin/sh\nseq -f 'line %.0f of many, many more than anybody can read' {FLOOD_LINES}\n"
        f"exec {' '.join(plan.engine.argv)}\n"
    )
    script.chmod(0o700)
    return (str(script),)


def test_every_record_of_every_part_is_one_line_of_one_form(start: Start) -> None:
    service = start(hang_in="load").wait_live()
    assert service.get("/v1/models")[0] == 503  # which nginx's error log tells
    wait_until(lambda: service.get("/v1/version")[0] == 200, "the middleware")
    service.wait_said("Loading safetensors")
    assert service.stop() == 0
    odd = [line for line in service.lines if not HUMAN.fullmatch(line)]
    assert not odd
    parts = {line.split("]")[0].split()[-1] for line in service.lines}
    assert parts == {"nim", "engine", "nginx", "middleware", "supervisord", "gateway"}
    assert re.search(r"ERROR .* nginx\] \d+#\d+: \*\d+ connect\(\) to unix:", service.text)


def test_json_lines_are_json_whatever_happens(start: Start, directory: Path) -> None:
    plan = rendered(make_plan(directory, crash_in="warm-up", crash="gpu_oom"), json_logs=True)
    service = start(plan).wait_live()
    service.get("/v1/models")
    assert service.wait() == 70
    records = [json.loads(line) for line in service.lines]
    for record in records:
        assert {"time", "level", "component", "message"} <= record.keys()
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", record["time"])
    (last,) = [record for record in records if record["level"] == "CRITICAL"]
    assert (last["kind"], last["component"]) == ("gpu_oom", "nim")
    assert any("CUDA out of memory" in line for line in last["log"])


def test_a_higher_log_level_writes_fewer_lines(start: Start, directory: Path) -> None:
    service = start(rendered(make_plan(directory), log_level="WARNING")).wait_ready()
    assert service.get("/v1/models")[0] == 200
    assert service.stop() == 0
    assert not [line for line in service.lines if not line.startswith(("WARNING", "ERROR", "CRITICAL"))]


def test_secrets_do_not_come_out(directory: Path) -> None:
    script = directory / "engine.sh"
    script.write_text('#!/bin/sh\necho "ERROR: no access with $HF_TOKEN or $4"\nexit 1\n')
    script.chmod(0o700)
    plan = make_plan(directory, argv=(str(script), "serve", "x", "--api-key", "on-the-command-line"))
    service = Service(plan, directory, HF_TOKEN="in-the-environment")
    assert service.wait() == 70
    assert "no access with **** or ****" in service.text
    assert "in-the-environment" not in service.text
    assert "on-the-command-line" not in service.text
    for name in ("state.json", "verdict.json"):
        assert "in-the-environment" not in (service.run_dir / name).read_text()
    service.stderr.close()


def test_a_slow_reader_of_stderr_blocks_nothing(start: Start, directory: Path) -> None:
    service = start(make_plan(directory, argv=flooding(directory)), unread=True).wait_ready()
    assert service.get("/v1/models")[0] == 200
    service._reader.start()
    dropped = service.wait_said("the reader of stderr is too slow")
    match = re.search(r"dropped (\d+) records", dropped)
    assert match
    service.wait_said("GET /v1/models")
    assert service.stop() == 0
    said = sum("many more than anybody can read" in line for line in service.lines)
    lost = sum(int(n) for n in re.findall(r"dropped (\d+) records", service.text))
    assert said + lost >= FLOOD_LINES
    assert not [line for line in service.lines if not HUMAN.fullmatch(line)]


def test_a_stderr_without_a_reader_blocks_nothing(start: Start, directory: Path) -> None:
    service = start(make_plan(directory, argv=flooding(directory)), unread=True).wait_ready()
    assert service.stop() == 0


def test_a_reader_of_stderr_that_exits_blocks_nothing(start: Start) -> None:
    service = start(unread=True).wait_live()
    service.stderr.close()
    service.wait_ready()
    service.send(signal.SIGTERM)
    assert service.process.wait(20) == 0


def test_the_stderr_that_others_share_stays_as_it_was(directory: Path) -> None:
    read, write = os.pipe()
    plan = make_plan(directory)
    service = Service(plan, directory, stderr=write)
    service.wait_ready()
    assert not fcntl.fcntl(write, fcntl.F_GETFL) & os.O_NONBLOCK
    assert service.stop() == 0
    assert not fcntl.fcntl(write, fcntl.F_GETFL) & os.O_NONBLOCK
    service.stderr.close()
    os.close(read)
    os.close(write)


@pytest.mark.parametrize("level", ["DEBUG", "info", "Warning", "TRACE"])
def test_a_level_in_any_case(level: str) -> None:
    form = Form(as_json=False, level=level)
    assert form.wants("CRITICAL")
    assert form.wants("INFO") is (severity(level.upper()) <= severity("INFO") or level == "TRACE")


def test_a_record_stays_on_its_line_and_drives_no_terminal() -> None:
    line = Form(as_json=False).line("INFO", "engine", "a\nb\x1b[31m\ttab\x7f", at=0.5)
    assert line.endswith(".500 engine] a\\nb\\x1b[31m\ttab\\x7f\n")
    assert json.loads(Form(as_json=True).line("INFO", "engine", "a\nb\x1b", at=0.5))["message"] == "a\nb\x1b"
