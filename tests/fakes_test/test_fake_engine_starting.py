"""How the fake engine starts, or fails to."""

import os
import re
import socket
import stat
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fakes.launch import launch, wait_until
from tests.fakes.words import CRASHES
from tests.gateway.nginx import free_port


def test_any_flag_of_vllm_is_accepted_and_reproduced_exactly(tmp_path: Path) -> None:
    flags = (
        "--served-model-name",
        "a",
        "b",
        "-tp",
        "2",
        "--no-enable-log-requests",
        "--foo.bar",
        '{"x": "é $ \n"}',
    )
    with launch(tmp_path, *flags, env={"VLLM_SEEN": "yes"}) as engine:
        engine.wait_ready()
        told = engine.get("/fake/argv?env=VLLM_SEEN&env=VLLM_UNSET")
        models = engine.get("/v1/models")
    assert told["argv"][1:] == ["serve", "demo", "--uds", str(tmp_path / "engine.sock"), *flags]
    assert told["env"] == {"VLLM_SEEN": "yes", "VLLM_UNSET": None}
    assert [(model["id"], model["root"]) for model in models["data"]] == [("a", "demo"), ("b", "demo")]


def test_it_serves_on_a_port(tmp_path: Path) -> None:
    with launch(tmp_path, port=free_port()) as engine:
        assert engine.wait_ready().get("/version") == {"version": "0.32.0"}


def test_the_socket_is_its_own_users_and_stays_behind(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    with launch(tmp_path) as engine:
        engine.wait_ready()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert engine.terminate() == 0
    assert path.is_socket()


def test_a_socket_file_left_behind_is_an_address_in_use(tmp_path: Path) -> None:
    (tmp_path / "engine.sock").touch()
    with launch(tmp_path) as engine:
        assert engine.wait_exit() == 1
        assert "OSError: [Errno 98] Address already in use" in engine.err()


def test_a_taken_port_is_an_address_in_use(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        launch(tmp_path, port=taken.getsockname()[1]) as engine,
    ):
        assert engine.wait_exit() == 1
        assert "OSError: [Errno 98] Address already in use" in engine.err()


def test_phases_take_their_time_and_speak_as_vllm_does(tmp_path: Path) -> None:
    phases = {"load": 0.3, "compile": 0.1, "warm-up": 0.1}
    with launch(tmp_path, phases=phases, shards=2) as engine:
        wait_until(lambda: "1/2" in engine.err(), "the first shard")
        with pytest.raises(ConnectionRefusedError):
            engine.connect()
        engine.wait_ready()
        out, err = engine.out(), engine.err()
    assert re.findall(r"checkpoint shards: +(\d+)% Completed \| (\d)/2", err) == [
        ("0", "0"),
        ("50", "1"),
        ("100", "2"),
    ]
    spoken = (
        r"\(Worker pid=\d+\) INFO \d\d-\d\d \d\d:\d\d:\d\d \[\S+\] Starting to load model demo",
        r"Loading weights took (?P<load>[\d.]+) seconds",
        r"Model loading took 0.01 GiB",
        r"torch.compile took (?P<compile>[\d.]+) s in total",
        r"Graph capturing finished in \d+ secs",
        r"init engine .* took (?P<all>[\d.]+) s",
        r"Starting vLLM server on unix:",
    )
    match = re.search("(?s)" + ".*?".join(spoken), out)
    assert match
    assert float(match["load"]) >= 0.3
    assert float(match["compile"]) >= 0.1
    assert float(match["all"]) >= 0.5


def test_eager_compiles_and_captures_nothing(tmp_path: Path) -> None:
    with launch(tmp_path, "--enforce-eager") as engine:
        out = engine.wait_ready().out()
    assert "init engine" in out
    assert "torch.compile" not in out
    assert "Graph capturing" not in out


def test_each_crash_says_why_and_returns_vllms_code(tmp_path: Path) -> None:
    with ExitStack() as stack:
        engines = {}
        for crash in CRASHES:
            (tmp_path / crash).mkdir()
            engines[crash] = stack.enter_context(launch(tmp_path / crash, crash_in="load", crash=crash))
        for crash, (_, code, cause) in CRASHES.items():
            assert engines[crash].wait_exit() == code
            said = engines[crash].out() + engines[crash].err()
            assert all(line in said for line in cause.format(model="demo").split("\n"))
            assert "Application startup complete." not in said


@pytest.mark.parametrize(("phase", "said", "unsaid"), [
    ("start", "Traceback", "non-default args"),
    ("compile", "Loading weights took", "torch.compile took"),
    ("warm-up", "torch.compile took", "init engine"),
])  # fmt: skip
def test_a_crash_comes_in_its_phase_with_the_ordered_words(
    tmp_path: Path, phase: str, said: str, unsaid: str
) -> None:
    with launch(tmp_path, crash_in=phase, crash_text="Boom: 7", exit_code=42) as engine:
        assert engine.wait_exit() == 42
        out = engine.out() + engine.err()
    assert "Boom: 7" in out
    assert said in out
    assert unsaid not in out


def test_a_negative_exit_code_is_death_by_a_signal(tmp_path: Path) -> None:
    with launch(tmp_path, crash_in="load", crash="host_oom", exit_code=-9) as engine:
        assert engine.wait_exit() == -9


def test_it_can_hang_in_a_phase(tmp_path: Path) -> None:
    with launch(tmp_path, hang_in="compile") as engine:
        wait_until(lambda: "Starting torch.compile" in engine.out(), "compilation")
        with pytest.raises(ConnectionRefusedError):
            engine.connect()
        assert engine.terminate() == 0


def test_an_unknown_mood_is_refused(tmp_path: Path) -> None:
    with launch(tmp_path, crash_in="lunch") as engine:
        assert engine.wait_exit() == 2
        assert "cannot be in this mood" in engine.err()


def test_its_children_are_called_as_vllms(tmp_path: Path) -> None:
    with launch(tmp_path, workers=2) as engine:
        state = engine.wait_ready().state()
        names = [Path(f"/proc/{pid}/comm").read_text().strip() for pid in (state["core"], *state["workers"])]
        assert {os.getpgid(pid) for pid in (state["core"], *state["workers"])} == {engine.process.pid}
    assert names == ["VLLM::EngineCor", "VLLM::Worker", "VLLM::Worker"]
