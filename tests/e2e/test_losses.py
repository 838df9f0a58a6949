"""The real engine killed, stopped during streams, misused, given damaged files: reports and recovery.

One service suffers one loss after the other; the last of its tests ends it.
"""

import json
import os
import re
import shutil
import signal
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, cast

import pytest

from nim.cleanup.read_and_watch_processes import all_processes, below
from nim.data_paths import PROFILES
from nim.health.detect_startup_phase import IN_ORDER
from tests.e2e.conftest import READY_SECONDS, Service, begin, serving
from tests.e2e.test_stalls import api_server, part, ready
from tests.fakes.launch import wait_until
from tests.middleware.test_metrics import parsed, value
from tests.soak import remains

pytestmark = [pytest.mark.engine, pytest.mark.own_engine, pytest.mark.timeout(3 * READY_SECONDS)]
STREAMS, TOKENS = 20, 2000
# So much that also a machine that does much else has streams fit into it.
BUDGET_SECONDS = 240


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    directory = tmp_path_factory.mktemp("losses")
    (directory / "tmp").mkdir()
    settings = {"NIM_SHUTDOWN_TIMEOUT": str(BUDGET_SECONDS), "TMPDIR": str(directory / "tmp")}
    with serving(directory, **settings) as running:
        yield running


def ask(service: Service, **asked: Any) -> HTTPResponse:
    """Return the answer to a completion, of which only the head has been read."""
    body = json.dumps({"prompt": "Once upon a time", "max_tokens": 8} | asked).encode()
    request = urllib.request.Request(
        f"{service.root}/v1/completions", body, {"Content-Type": "application/json"}
    )
    return cast(HTTPResponse, urllib.request.urlopen(request, timeout=BUDGET_SECONDS))


def lines_of(answer: HTTPResponse) -> list[bytes]:
    """Return the lines of an answer's body, read to its end."""
    with answer:
        return [line for line in answer.read().splitlines() if line]


def test_a_start_has_gone_through_loading_and_warming_up(service: Service) -> None:
    phases = [done["phase"] for done in service.json("/v1/health/startup")["phases"]]
    assert phases == [phase for phase in IN_ORDER if phase in phases]
    assert {"load", "warm-up"} <= set(phases)


def test_its_metrics_are_valid_and_none_comes_twice(service: Service) -> None:
    lines_of(ask(service))
    families = parsed(service.get("/v1/metrics")[1])
    assert value(families, "vllm:request_success", finished_reason="length") > 0
    assert value(families, "nim_ready") == 1
    assert value(families, "nim_startup_phase_seconds", phase="load") > 0


@pytest.mark.parametrize("name", ["VLLM::Worker", "VLLM::EngineCore", "API server"])
def test_a_killed_part_is_seen_at_once_and_the_engine_comes_back(service: Service, name: str) -> None:
    top = api_server(service)
    core, engine = part(service, "VLLM::EngineCore"), below(top, all_processes())
    before = restarts(service)
    os.kill(top if name == "API server" else part(service, name), signal.SIGKILL)
    wait_until(lambda: not ready(service), "not being ready")
    wait_until_ready_again(service)
    assert part(service, "VLLM::EngineCore") != core
    assert not any(process.alive for process in engine)
    assert restarts(service) == before + 1
    assert lines_of(ask(service))


def restarts(service: Service) -> int:
    """Return how often the engine was lost, each time for the reason that we gave it."""
    counts = service.json("/v1/metadata")["state"]["restarts"]
    assert counts.keys() <= {"unknown"}
    families = parsed(service.get("/v1/metrics")[1])
    shown = {s.labels["class"]: s.value for s in families["nim_engine_restarts"].samples if s.value}
    assert shown == counts
    return sum(counts.values())


def wait_until_ready_again(service: Service) -> None:
    """Wait until ready again, checking liveness at every poll."""
    deadline = time.monotonic() + READY_SECONDS
    while not ready(service):
        assert time.monotonic() < deadline, service.log.read_text()[-6000:]
        time.sleep(0.1)


def test_a_stop_under_streams_cuts_none_and_leaves_nothing(service: Service) -> None:
    segments = set[str]().union(*map(remains.shared_memory_of, engine_of(service)))
    options = {"include_usage": True}
    asked = {"stream": True, "stream_options": options, "max_tokens": TOKENS, "ignore_eos": True}
    with ThreadPoolExecutor(STREAMS) as pool:
        # Nothing is read before the stop: no stream can be over by then, however quick the machine is.
        streams = list(pool.map(lambda _: ask(service, **asked), range(STREAMS)))
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: b'"phase":"draining"' in service.get("/v1/health/ready")[1], "draining")
        for *_, usage, end in pool.map(lines_of, streams):
            assert end == b"data: [DONE]"
            assert json.loads(usage.removeprefix(b"data: "))["usage"]["completion_tokens"] == TOKENS
    assert service.process.wait(BUDGET_SECONDS) == 0
    assert remains.processes_of(service.run_dir) == []
    assert remains.special_files(service.run_dir, service.run_dir.with_name("tmp")) == []
    assert remains.still_there(segments) == []
    assert remains.port_is_free(service.port)


def engine_of(service: Service) -> list[int]:
    return [process.pid for process in below(service.process.pid, all_processes())]


def test_a_value_that_vllm_refuses_ends_the_start(tmp_path: Path) -> None:
    """What a plugin registers cannot be known before the start, so its parser's name is left to vLLM."""
    plugin = tmp_path / "plugin.py"
    plugin.write_text("# registers nothing\n")
    arguments = f"--enable-auto-tool-choice --tool-call-parser nonsense --tool-parser-plugin {plugin}"
    block = lost_in_start(tmp_path, "bad_argument", NIM_PASSTHROUGH_ARGS=arguments)
    assert "invalid tool call parser: nonsense (chose from {" in block


def test_weights_that_are_damaged_end_the_start(tmp_path: Path) -> None:
    """Their length is right, which is all that can be seen before the start; a tensor's shape is not."""
    model = shutil.copytree(PROFILES / "demo" / "model", tmp_path / "model")
    weights = model / "model.safetensors"
    weights.write_bytes(re.sub(rb'"shape":\[\d', b'"shape":[9', weights.read_bytes(), count=1))
    assert "Safetensor" in lost_in_start(tmp_path, "damaged_weights", NIM_MODEL_PATH=str(model))


def lost_in_start(directory: Path, kind: str, **settings: str) -> str:
    """Return the block that says why a service ended before it was ready, on account of its engine."""
    service = begin(directory, **settings)
    try:
        assert service.process.wait(READY_SECONDS) == 70
    finally:
        service.process.kill()
    text = service.log.read_text()
    told = rf"^CRITICAL .+ nim\] engine lost: {kind} \(.*\n  .+\n(?:    \| .+\n)+  hint: .+\n"
    block = re.search(told, text, re.MULTILINE)
    assert block, text[-6000:]
    verdict = json.loads((service.run_dir / "verdict.json").read_text())
    assert (verdict["exit_code"], verdict["failure"]["kind"]) == (70, kind)
    assert remains.processes_of(service.run_dir) == []
    return block[0]
