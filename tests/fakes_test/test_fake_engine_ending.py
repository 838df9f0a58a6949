"""How the fake engine ends: on request, unexpectedly, or not at all."""

import http.client
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.launch import Launched, launch, wait_until

CHAT = "/v1/chat/completions"
DEAD = "EngineCore encountered an issue"


def open_stream(engine: Launched, path: str = CHAT) -> http.client.HTTPResponse:
    """Return a stream whose first token has come."""
    response = engine.send("POST", path, {"messages": [], "input": "", "stream": True})
    while b"tok0" not in response.readline():
        pass
    return response


def is_alive(pid: int) -> bool:
    """Return whether the process lives; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_sigterm_aborts_answers_and_leaves_no_process(tmp_path: Path) -> None:
    with launch(tmp_path, tokens=10**6, workers=2) as engine:
        state = engine.wait_ready().state()
        with open_stream(engine) as chat, open_stream(engine, "/v1/messages") as messages:
            assert engine.terminate() == 0
            assert b'"finish_reason":"abort"' in (said := chat.read())
            assert said.endswith(b"data: [DONE]\n\n")
            assert b"event: message_stop\n" in messages.read()
        assert not any(map(is_alive, [state["core"], *state["workers"]]))
        assert "[shutdown] API server: shutdown triggered" in engine.out()


def test_sigint_is_the_same(tmp_path: Path) -> None:
    with launch(tmp_path) as engine:
        engine.wait_ready()
        engine.process.send_signal(signal.SIGINT)
        assert engine.wait_exit() == 0


def test_teardown_takes_its_time_and_refuses_work(tmp_path: Path) -> None:
    with launch(tmp_path, teardown=0.5) as engine:
        engine.wait_ready()
        began = time.monotonic()
        engine.process.send_signal(signal.SIGTERM)
        wait_until(lambda: engine.state()["stopping"], "the signal")
        assert DEAD in engine.post(CHAT, messages=[])["error"]["message"]
        with engine.send("GET", "/health") as response:
            assert response.status == 200
        assert engine.wait_exit() == 0
        assert time.monotonic() - began >= 0.5


def test_drain_lets_answers_end(tmp_path: Path) -> None:
    with (
        launch(tmp_path, tokens=30, interval_ms=10, drain=20) as engine,
        open_stream(engine.wait_ready()) as stream,
    ):
        engine.process.send_signal(signal.SIGTERM)
        said = stream.read()
        assert b'"finish_reason":"stop"' in said
        assert b"tok29 " in said
        assert engine.wait_exit() == 0


@pytest.mark.parametrize(("drain_end", "end"), [("abort", b"[DONE]"), ("cut", None)])
def test_a_drain_that_is_too_short(tmp_path: Path, drain_end: str, end: bytes | None) -> None:
    mood: dict[str, Any] = {"tokens": 10**6, "drain": 0.1, "drain_end": drain_end}
    with launch(tmp_path, **mood) as engine, open_stream(engine.wait_ready()) as stream:
        engine.process.send_signal(signal.SIGTERM)
        if end:
            assert end in stream.read()
        else:
            with pytest.raises(http.client.IncompleteRead):
                stream.read()
        assert engine.wait_exit() == 0


def test_a_drain_that_hangs(tmp_path: Path) -> None:
    mood: dict[str, Any] = {"tokens": 10**6, "drain": 0.05, "drain_end": "hang"}
    with launch(tmp_path, **mood) as engine, open_stream(engine.wait_ready()):
        engine.process.send_signal(signal.SIGTERM)
        wait_until(lambda: engine.get("/fake/control")["stall_after"] == 0, "the end of the drain")
        assert engine.process.poll() is None
        assert engine.state()["running"] == 1


def test_deaf(tmp_path: Path) -> None:
    with launch(tmp_path, deaf=True) as engine:
        core = engine.wait_ready().state()["core"]
        os.kill(core, signal.SIGTERM)
        engine.process.send_signal(signal.SIGTERM)
        engine.process.send_signal(signal.SIGINT)
        assert not any(engine.state()["stopping"] for _ in range(5))
        assert is_alive(core)
        engine.order(deaf=False)
        assert engine.terminate() == 0


def test_deaf_while_starting_as_vllm_is(tmp_path: Path) -> None:
    with launch(tmp_path, deaf_starting=True, phases={"load": 0.3}) as engine:
        wait_until(lambda: "Starting to load model" in engine.out(), "loading")
        engine.process.send_signal(signal.SIGTERM)
        engine.wait_ready()
        assert engine.terminate() == 0


@pytest.mark.parametrize("victim", ["core", "worker"])
def test_a_killed_child_fails_all_answers_and_ends_it_with_code_0(tmp_path: Path, victim: str) -> None:
    with launch(tmp_path, tokens=10**6, workers=1, core_death=0.3) as engine:
        state = engine.wait_ready().state()
        paths = (CHAT, "/v1/messages", "/v1/responses")
        chat, messages, responses = (open_stream(engine, path) for path in paths)
        os.kill(state["core"] if victim == "core" else state["workers"][0], signal.SIGKILL)
        assert chat.read().endswith(b'"code":500}}\n\ndata: [DONE]\n\n')
        assert b"event: error\n" in messages.read()
        with pytest.raises(http.client.IncompleteRead):
            responses.read()
        with engine.send("GET", "/health") as response:
            assert response.status == 503
        assert DEAD in engine.post(CHAT, messages=[])["error"]["message"]
        assert engine.wait_exit() == 0
        assert "engine core exited unexpectedly" in engine.out()
        assert not any(map(is_alive, [state["core"], *state["workers"]]))


def test_a_stopped_core_makes_no_tokens_but_is_healthy(tmp_path: Path) -> None:
    with launch(tmp_path, tokens=10**6) as engine, open_stream(engine.wait_ready()):
        core = engine.state()["core"]
        os.kill(core, signal.SIGSTOP)
        wait_until(lambda: generated(engine) == generated(engine, 0.2), "silence")
        with engine.send("GET", "/health") as response:
            assert response.status == 200
        os.kill(core, signal.SIGCONT)
        wait_until(lambda: generated(engine) != generated(engine, 0.2), "tokens")
        os.kill(core, signal.SIGSTOP)
        assert engine.terminate() == 0


def generated(engine: Launched, after_seconds: float = 0) -> int:
    """Return tokens so far."""
    time.sleep(after_seconds)
    return int(engine.state()["counts"]["generation_tokens"])


def test_a_killed_parent_takes_its_core_along_but_not_its_orphans(tmp_path: Path) -> None:
    with launch(tmp_path, workers=1, orphans=["group", "session"]) as engine:
        state = engine.wait_ready().state()
        engine.process.kill()
        assert engine.wait_exit() == -9
        wait_until(lambda: not any(map(is_alive, [state["core"], *state["workers"]])), "the core's end")
        in_group, in_session = state["orphans"]
        assert is_alive(in_group)
        assert is_alive(in_session)
        assert os.getpgid(in_group) == engine.process.pid
        assert os.getsid(in_session) == in_session
    wait_until(lambda: not any(map(is_alive, state["orphans"])), "the orphans' end")


def test_a_crash_after_ready_is_the_cores(tmp_path: Path) -> None:
    with launch(tmp_path, core_death=0.1, tokens=10**6) as engine, open_stream(engine.wait_ready()) as stream:
        engine.order(crash_in="serve", crash="gpu_oom")
        assert DEAD in json.loads(stream.read().decode().split("data: ")[-2])["error"]["message"]
        assert engine.wait_exit() == 0
        assert "CUDA out of memory" in engine.out()


def test_a_crash_after_ready_can_be_planned_with_a_code(tmp_path: Path) -> None:
    mood: dict[str, Any] = {"crash_in": "serve", "phases": {"serve": 0.4}, "core_death": 0.1, "exit_code": 3}
    with launch(tmp_path, **mood) as engine:
        engine.wait_ready()
        assert engine.wait_exit() == 3
