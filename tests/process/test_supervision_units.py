"""Parts of PID 1, each alone, with real processes, pipes and sockets."""

import configparser
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nim.cleanup.read_and_watch_processes import Watch, all_processes, below, read_process
from nim.data_paths import SUPERVISORD_CONF
from nim.event_loop import EventLoop, Steps, Task, until
from nim.failures.program_exit import ProgramExit
from nim.failures.report import TERMINATION_BYTES, failure_text_for_kubernetes
from nim.health.readiness_poller import ask_health
from nim.logging.log_pipes import CAPACITY_BYTES, LINE_BYTES, Pipe, make_pipes, open_pipe
from nim.logging.stderr_queue import QUEUE_BYTES, StderrQueue
from nim.preflight.proc_net_sockets import count_connections, find_listener
from nim.service_state import Failure
from nim.supervision.restart_policy import ENGINE, NGINX, RestartCounter, RestartPolicy
from nim.supervision.run_vllm_cpu import answering
from nim.supervision.shutdown_budget import ShutdownBudget
from nim.supervision.supervisord.rpc_client import Supervisor

PATIENCE_SECONDS = 20.0


def run_until(loop: EventLoop, true: Callable[[], bool]) -> None:
    """Run the loop until the condition holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline
        loop.after(0.01, lambda: None)
        loop.turn()


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


# restarts and budgets


def test_pauses_double_up_to_a_limit_and_the_budget_ends_them() -> None:
    restarts = RestartCounter(
        RestartPolicy(first_delay_seconds=1, longest_delay_seconds=6, tries=5, healthy_seconds=100)
    )
    assert [restarts.lost(0) for _ in range(6)] == [1, 2, 4, 6, 6, None]


def test_a_healthy_spell_gives_the_whole_budget_back() -> None:
    restarts = RestartCounter(ENGINE)
    for _ in range(50):
        assert restarts.lost(ENGINE.healthy_seconds) == ENGINE.first_delay_seconds
    assert restarts.lost(ENGINE.healthy_seconds - 1) == 2 * ENGINE.first_delay_seconds


def test_an_engine_is_given_up_at_the_sixth_loss_in_a_row() -> None:
    restarts = RestartCounter(ENGINE)
    assert [restarts.lost(ENGINE.healthy_seconds - 1) for _ in range(6)] == [1, 2, 4, 8, 16, None]


def test_nginx_is_given_up_at_the_third_loss_in_a_row() -> None:
    restarts = RestartCounter(NGINX)
    assert [restarts.lost(1) for _ in range(3)] == [0, 0, None]


def test_without_a_budget_there_is_no_end_and_no_overflow() -> None:
    restarts = RestartCounter(
        RestartPolicy(first_delay_seconds=0.2, longest_delay_seconds=30, tries=None, healthy_seconds=60)
    )
    assert [restarts.lost(0) for _ in range(5000)][-1] == 30


@pytest.mark.parametrize("total", [0.0, 0.5, 3.0, 10.0, 28.0, 60.0, 3600.0])
@pytest.mark.parametrize("serving", [True, False])
def test_the_parts_of_a_stop_are_its_budget(total: float, serving: bool) -> None:
    budget = ShutdownBudget.of(total, serving=serving)
    parts = (budget.settle, budget.drain, budget.engine, budget.kill)
    assert min(parts) >= 0
    assert sum(parts) == pytest.approx(total)


def test_the_default_budget_is_the_one_that_is_promised() -> None:
    budget = ShutdownBudget.of(28.0, serving=True)
    assert (budget.settle, budget.drain) == (3, 16)
    assert budget.engine >= 6
    assert ShutdownBudget.of(28.0, serving=False).settle == 0


# the loop


def test_timers_come_in_their_order_and_cancelled_ones_do_not() -> None:
    loop, seen = EventLoop(), list[int]()
    loop.after(0.02, lambda: seen.append(2))
    loop.after(0.01, lambda: seen.append(1))
    loop.after(0.0, lambda: seen.append(0)).cancel()
    run_until(loop, lambda: len(seen) == 2)
    assert seen == [1, 2]


def test_a_descriptor_let_go_in_the_same_turn_is_not_called() -> None:
    loop, seen = EventLoop(), list[int]()
    pairs = [os.pipe(), os.pipe()]

    def only_one(mine: int, other: int) -> None:
        seen.append(mine)
        loop.unwatch(mine)
        loop.unwatch(other)

    loop.watch(pairs[0][0], lambda: only_one(pairs[0][0], pairs[1][0]))
    loop.watch(pairs[1][0], lambda: only_one(pairs[1][0], pairs[0][0]))
    for _, write in pairs:
        os.write(write, b"x")
    loop.turn()
    assert len(seen) == 1
    for fd in (*pairs[0], *pairs[1]):
        os.close(fd)


def test_a_script_sleeps_is_woken_and_can_be_cancelled() -> None:
    loop, seen = EventLoop(), list[str]()
    happened: list[bool] = []

    def steps() -> Steps:
        seen.append("began")
        seen.append(str((yield from until(loop, lambda: bool(happened), 1000))))
        yield 1000
        seen.append("never")

    script = Task(loop, steps())
    run_until(loop, lambda: seen == ["began"])
    happened.append(True)
    script.wake()
    run_until(loop, lambda: seen == ["began", "True"])
    script.cancel()
    script.wake()
    loop.after(0, loop.stop)
    loop.run()
    assert seen == ["began", "True"]


# processes


def test_the_end_of_a_process_that_is_not_our_child_is_noticed(sleeper: subprocess.Popen[bytes]) -> None:
    loop, seen = EventLoop(), list[str]()
    process = read_process(sleeper.pid)
    assert process
    Watch(loop, process, lambda: seen.append("gone"))
    sleeper.kill()
    run_until(loop, lambda: seen == ["gone"])
    assert not process.alive


def test_without_pidfds_it_is_noticed_too(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(_: int) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "pidfd_open", forbidden)
    loop, seen = EventLoop(), list[str]()
    process = read_process(sleeper.pid)
    assert process
    Watch(loop, process, lambda: seen.append("gone"))
    sleeper.kill()
    run_until(loop, lambda: seen == ["gone"])


def test_a_process_with_a_strange_name_is_read_right() -> None:
    code = "open('/proc/self/comm', 'w').write('a) R 1 (b'); import sys; sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as process:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (found := read_process(process.pid)) is None or found.name != "a) R 1 (b":
            assert time.monotonic() < deadline
        assert found.parent == os.getpid()
        assert found.pid in {p.pid for p in below(os.getpid(), all_processes())}


def test_a_long_name_is_not_cut(tmp_path: Path) -> None:
    program = tmp_path / "a-name-longer-than-the-kernel-keeps"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program.name, "60"], executable=program) as process:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (found := read_process(process.pid)) is None or found.name != program.name:
            assert time.monotonic() < deadline
        process.kill()


def test_an_ended_process_is_not_found() -> None:
    assert read_process(2**22 + 1) is None


# pipes and the sink


def test_a_pipe_hands_on_lines_and_what_a_bar_shows(tmp_path: Path) -> None:
    make_pipes(tmp_path)
    lines, shown = list[str](), list[str]()
    pipe = Pipe(open_pipe(tmp_path, "engine"), lines.append, shown.append)
    for data in (
        b"one\ntwo\r\n\n\r 10%\r 20%\r",
        b" 30%",
        b"\r100%\nthr",
        b"ee\n",
        "ü\xff\n".encode("latin-1"),
    ):
        os.write(pipe.fd, data)
        pipe.catch_up()
    os.write(pipe.fd, b"x" * (LINE_BYTES + 10))
    pipe.catch_up()
    os.close(pipe.fd)
    assert lines == ["one", "two", "100%", "three", "\ufffd\ufffd", "x" * LINE_BYTES]
    assert shown == [" 20%"]


def test_pipes_are_made_anew_where_something_else_lies(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "engine").write_text("not a pipe")
    make_pipes(tmp_path)
    make_pipes(tmp_path)
    fd = open_pipe(tmp_path, "engine")
    assert fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ) == CAPACITY_BYTES
    os.close(fd)


def test_the_sink_keeps_order_counts_what_it_drops_and_changes_no_flag() -> None:
    loop = EventLoop()
    read, write = os.pipe()
    sink = StderrQueue(write, loop, lambda count: f"dropped {count}\n")
    line = "x" * 99
    total = QUEUE_BYTES // 100 + 3000
    for number in range(total):
        sink.put(f"{number:08d}{line}\n")
    sink.put(f"{total:08d} the last word\n", always=True)
    assert not fcntl.fcntl(write, fcntl.F_GETFL) & os.O_NONBLOCK
    got: list[bytes] = []

    def drain() -> None:
        with os.fdopen(read, "rb") as reader:
            got.extend(reader)

    thread = threading.Thread(target=drain)
    thread.start()
    sink.close(PATIENCE_SECONDS)
    os.close(write)
    thread.join(PATIENCE_SECONDS)
    numbers = [int(entry[:8]) for entry in got if not entry.startswith(b"dropped")]
    dropped = sum(int(entry.split()[1]) for entry in got if entry.startswith(b"dropped"))
    assert numbers == sorted(numbers)
    assert len(numbers) + dropped == total + 1
    assert numbers[-1] == total
    assert dropped > 0


def test_the_sink_writes_to_a_socket_and_survives_its_end() -> None:
    loop = EventLoop()
    ours, theirs = socket.socketpair()
    sink = StderrQueue(ours.fileno(), loop, lambda count: f"dropped {count}\n")
    sink.put("hello\n")
    assert theirs.recv(100) == b"hello\n"
    theirs.close()
    for _ in range(3):
        sink.put("nobody\n")
    sink.close(1)
    ours.close()


def test_the_sink_appends_to_a_file_that_others_write_too(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb", buffering=0) as file:
        sink = StderrQueue(file.fileno(), EventLoop(), lambda count: f"dropped {count}\n")
        file.write(b"ours\n")
        sink.put("the sink's\n")
        file.write(b"ours again\n")
        sink.close(1)
    assert (tmp_path / "log").read_bytes() == b"ours\nthe sink's\nours again\n"


# the probe


@pytest.mark.parametrize(
    ("answer", "well"),
    [(b"HTTP/1.1 200 OK\r\n\r\n", True), (b"HTTP/1.1 503 No\r\n\r\n", False), (b"", False)],
)
def test_health_is_200_and_nothing_else(directory: Path, answer: bytes, well: bool) -> None:
    path = str(directory / "s")
    loop, heard = EventLoop(), list[bool]()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def reply() -> None:
            link, _ = listener.accept()
            assert link.recv(1000).startswith(b"GET /health HTTP/1.0\r\n")
            link.sendall(answer)
            link.close()

        thread = threading.Thread(target=reply)
        thread.start()
        ask_health(loop, path, heard.append)
        run_until(loop, lambda: bool(heard))
        thread.join()
    assert heard == [well]


def test_an_engine_that_does_not_listen_is_not_healthy(directory: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(directory / "bound"))
        for address in (str(directory / "bound"), str(directory / "not there"), ("127.0.0.1", 1)):
            loop, heard = EventLoop(), list[bool]()
            ask_health(loop, address, heard.append)
            run_until(loop, lambda heard=heard: bool(heard))  # type: ignore[misc]
            assert heard == [False]


# supervisord's side


def test_the_lines_of_supervisord_that_matter() -> None:
    supervisor = Supervisor("/nowhere", lambda: None)
    up: list[bool] = []
    supervisor.on_up = lambda: up.append(True)
    head = "2025-11-21 07:13:51,123"
    assert supervisor.note(f"{head} INFO supervisord started with pid 7")[0] == "DEBUG"
    assert up == [True]
    supervisor.note(f"{head} WARN exited: engine (terminated by SIGKILL (core dumped); not expected)")
    supervisor.note(f"{head} INFO stopped: nginx (exit status 0)")
    assert supervisor._ends == {"engine": ProgramExit(signal=signal.SIGKILL), "nginx": ProgramExit(code=0)}
    assert supervisor.note(f"{head} CRIT something new") == ("CRITICAL", "something new")
    assert supervisor.note("Traceback (most recent call last):")[0] == "ERROR"


def test_the_configuration_of_supervisord_has_nothing_of_a_users_in_it() -> None:
    parser = configparser.RawConfigParser()
    parser.read(SUPERVISORD_CONF)
    text = SUPERVISORD_CONF.read_text()
    assert set(re.findall(r"%\((\w+)\)s", text)) == {
        "ENV_NIM_RUN_DIR", "ENV_NIM_PYTHON", "ENV_NIM_NGINX", "ENV_NIM_CLEAN",
        "ENV_NIM_STOP_SECONDS", "ENV_NIM_DRAIN_MS",
    }  # fmt: skip
    programs = [name for name in parser.sections() if name.startswith("program:")]
    own = ("nginx", "health", "middleware", "adapters", "engine", "agent", "read_ahead")
    assert programs == [f"program:{name}" for name in own]
    assert [parser.getint(name, "priority") for name in programs] == [30, 25, 20, 15, 10, 15, 5]
    for name in programs:
        assert not parser.getboolean(name, "autostart")
        assert not parser.getboolean(name, "autorestart")
        assert parser.getboolean(name, "stopasgroup")


# the last word


def test_kubernetes_gets_no_more_than_it_keeps() -> None:
    failure = Failure(kind="unknown", message="m", hint="h", log=("ü" * 700,) * 12, exit_code=1, signal=None)
    text = failure_text_for_kubernetes(failure, "engine", ProgramExit(code=1))
    assert len(text.encode()) <= TERMINATION_BYTES
    assert text.startswith("engine lost: unknown (exit code 1)\n")
    assert text.endswith("  hint: h\n")


# sockets


def test_who_listens_and_how_many_are_connected() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        found = find_listener(port)
        assert found
        assert found.pid == os.getpid()
        with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
            assert count_connections(port) == 2
    assert find_listener(port) is None


# the engine's program


def test_the_engine_gets_its_arguments_word_for_word_and_its_own_environment(directory: Path) -> None:
    from dataclasses import replace

    from tests.process.plans import make_plan, rendered

    words = ("", " ", "a\nb", "ü🙂", "%(x)s", "{{ x }}", "$HOME", "';#\"", "\u2028", '--x={"a": 1}')
    code = "import json,os,sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))"
    plan = make_plan(directory, argv=(sys.executable, "-c", code, *words))
    engine = replace(plan.engine, env={"ADDED": "1", "CHANGED": "new"}, unset=("REMOVED",))
    plan = rendered(plan, engine=engine)
    run_dir = Path(plan.run_dir)
    run_dir.mkdir()
    (run_dir / "plan.json").write_text(plan.to_json(), encoding="utf-8")
    for file in plan.files:
        (run_dir / file.path).write_text(file.text, encoding="utf-8")
    (run_dir / "engine.sock").touch()
    environ = {"PATH": os.environ["PATH"], "CHANGED": "old", "REMOVED": "x", "KEPT": "é"}
    command = [sys.executable, "-I", "-m", "nim.supervision.exec_engine", str(run_dir)]
    done = subprocess.run(command, env=environ, capture_output=True, timeout=30, check=True)
    argv, env = json.loads(done.stdout)
    assert tuple(argv) == words
    assert {name: env.get(name) for name in ("ADDED", "CHANGED", "REMOVED", "KEPT")} == {
        "ADDED": "1", "CHANGED": "new", "REMOVED": None, "KEPT": "é"
    }  # fmt: skip
    assert not (run_dir / "engine.sock").exists()


def test_the_cpu_build_answers_to_the_name_of_vllm() -> None:
    version = answering(lambda name: {"vllm-cpu": "0.32.0", "other": "1"}[name])
    assert version("vllm") == "0.32.0+cpu"
    assert version("other") == "1"
