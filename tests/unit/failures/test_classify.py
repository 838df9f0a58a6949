"""From the end of real logs to the class of a loss and its report."""

from pathlib import Path

import pytest

from nim.failures.classify import REPORTED_LINES, Loss, classify, kernel_kills
from nim.failures.failure_classes import FAILURE_CLASSES
from nim.failures.program_exit import ProgramExit
from nim.logging.log_line_parsers import EngineLines, Record
from tests.fakes.words import CRASHES

FAKE = {"auth": "authentication", "host_oom": "unknown"}  # the fake cannot make the kernel kill anything

DAMAGED = """\
(Worker pid=28) INFO 11-21 07:56:33 [cpu_model_runner.py:68] Starting to load model /models/bad...
(Worker pid=28) ERROR 11-21 07:56:33 [multiproc_executor.py:953] WorkerProc failed to start.
(Worker pid=28) ERROR 11-21 07:56:33 [multiproc_executor.py:953] Traceback (most recent call last):
(Worker pid=28) ERROR 11-21 07:56:33 [multiproc_executor.py:953]     worker = WorkerProc(*args, **kwargs)
(Worker pid=28) ERROR 11-21 07:56:33 [multiproc_executor.py:953]              ^^^^^^^^^^^^^^^^^^^^^^^^^^^
(Worker pid=28) ERROR 11-21 07:56:33 [multiproc_executor.py:953] \
safetensors._safetensors_rust.SafetensorError: Error while deserializing header: invalid header length
(EngineCore pid=9) INFO 11-21 07:56:33 [executor.py:479] [shutdown] Executor: waiting for worker exit
(EngineCore pid=9) ERROR 11-21 07:56:36 [core.py:1510] EngineCore failed to start.
Traceback (most recent call last):
  File "/opt/python/multiprocessing/process.py", line 314, in _bootstrap
    self.run()
Exception: WorkerProc initialization failed due to an exception in a background process.
nanobind: leaked 4 instances!
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
"""


def log(text: str) -> tuple[Record, ...]:
    lines = EngineLines()
    return tuple(lines.read(line) for line in text.splitlines())


def kind_of(text: str, **more: object) -> str:
    loss = Loss(end=ProgramExit(code=1), log=log(text), **more)  # type: ignore[arg-type]
    return classify(loss)[0].name


@pytest.mark.parametrize("crash", CRASHES)
def test_every_crash_of_the_fake_engine_has_its_class(crash: str) -> None:
    assert kind_of(CRASHES[crash][2].format(model="m")) == FAKE.get(crash, crash)


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("gpu_oom", "Free memory on device cuda:0 (3/80 GiB) is less than desired GPU memory utilization"),
        (
            "gpu_oom",
            "ValueError: 16.0 GiB KV cache is needed, which is larger than the available KV cache memory",
        ),
        ("gpu_oom", "ValueError: No available memory for the cache blocks."),
        (
            "shared_memory",
            "RuntimeError: Insufficient space in /dev/shm for shared-memory allocation: 160 MiB required",
        ),
        ("missing_weights", "OSError: /models/x does not appear to have a file named config.json."),
        ("missing_weights", "FileNotFoundError: No such file or directory: '/m/model-00002.safetensors'"),
        ("authentication", "huggingface_hub.errors.GatedRepoError: 403 Client Error."),
        ("host_oom", "RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory"),
        ("host_oom", "(1.7/3.0 GiB) on kv cache allocation is less than requested memory for kv (4.0 GiB)"),
        ("host_oom", "memory allocation of 8589934592 bytes failed"),
        ("cuda_driver", "RuntimeError: Failed to infer device type"),
        ("cuda_driver", "ImportError: libcuda.so.1: cannot open shared object file"),
        ("cuda_driver", "torch.AcceleratorError: CUDA error: an illegal memory access was encountered"),
        ("bad_argument", "vllm serve: error: argument --max-num-seqs: invalid int value: 'x'"),
        ("bad_argument", "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig"),
        ("bad_argument", "KeyError: 'invalid tool call parser: x (chose from { hermes,openai })'"),
        ("bad_argument", "KeyError: 'invalid reasoning parser: x (chose from { glm45,qwen3 })'"),
        ("port_in_use", "OSError: [Errno 98] error while attempting to bind: address already in use"),
        ("unknown", "RuntimeError: something that nobody has met before"),
    ],
)
def test_words_of_vllm_and_its_libraries(kind: str, line: str) -> None:
    assert kind_of(line) == kind


def test_the_report_has_the_cause_without_traceback_frames() -> None:
    kind, failure = classify(Loss(end=ProgramExit(code=1), log=log(DAMAGED)))
    assert (kind.name, kind.retry) == ("damaged_weights", False)
    assert len(failure.log) <= REPORTED_LINES + 1
    told = "\n".join(failure.log)
    assert "SafetensorError" in told
    assert "Engine core initialization failed" in told
    for noise in ("Traceback", "^^^", "nanobind", "[shutdown]", "self.run()"):
        assert noise not in told


def test_a_cause_far_from_the_end_is_reported_first() -> None:
    text = "RuntimeError: CUDA out of memory\n" + "".join(f"line {n}\n" for n in range(100))
    assert (
        classify(Loss(end=ProgramExit(code=1), log=log(text)))[1].log[0] == "RuntimeError: CUDA out of memory"
    )


def test_words_of_a_user_in_good_news_are_no_signs() -> None:
    text = (
        "(APIServer pid=1) INFO 11-21 07:00:00 [api.py:1] non-default args: {'model': 'CUDA out of memory'}"
    )
    assert kind_of(text) == "unknown"


DYING = """\
(APIServer pid=15150) ERROR 11-21 12:12:20 [serving.py:1225] Error in message stream converter.
(APIServer pid=15150) ERROR 11-21 12:12:20 [serving.py:1225] pydantic_core._pydantic_core.ValidationError: \
2 validation errors for ChatCompletionStreamResponse
"""


@pytest.mark.parametrize("text", [DYING, *(words for _, _, words in CRASHES.values())])
def test_an_engine_that_was_ready_is_lost_for_a_reason_with_which_a_start_can_succeed(text: str) -> None:
    """The first is what vLLM 0.32 says when its core is killed under a stream of /v1/messages."""
    end = ProgramExit(code=0)
    assert classify(Loss(end=end, log=log(text), was_ready=True))[0].retry
    assert kind_of(DYING) == "bad_argument"


def test_the_cause_comes_before_its_consequence() -> None:
    assert kind_of("OSError: Address already in use\nRuntimeError: CUDA out of memory") == "gpu_oom"


def test_memory_is_blamed_only_when_the_kernel_has_killed_and_this_engine_was_hit() -> None:
    killed = ProgramExit(signal=9)
    assert classify(Loss(end=killed, log=(), kernel_killed=True))[0].name == "host_oom"
    assert classify(Loss(end=killed, log=()))[0].name == "unknown"
    assert classify(Loss(end=ProgramExit(code=1), log=(), kernel_killed=True))[0].name == "unknown"
    assert kind_of("Failed core proc(s): {'EngineCore': -9}", kernel_killed=True) == "host_oom"
    assert kind_of("", kernel_killed=True, lost_part="VLLM::Worker (pid 7)") == "host_oom"


def test_without_a_sign_it_is_said_what_was_seen() -> None:
    assert "killed by SIGSEGV" in classify(Loss(end=ProgramExit(signal=11), log=()))[1].message
    never = classify(Loss(end=ProgramExit(why="too many processes"), log=()))[1].message
    assert never == "the engine could not be started: too many processes"
    part = classify(Loss(end=ProgramExit(code=0), log=(), lost_part="VLLM::EngineCore (pid 7)"))[1].message
    assert part.startswith("VLLM::EngineCore (pid 7)")


def test_kernel_kills_of_this_container_take_precedence(tmp_path: Path) -> None:
    assert kernel_kills(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "vmstat").write_text("nr_free_pages 1\noom_kill 7\n")
    assert kernel_kills(tmp_path) == 7
    (tmp_path / "sys" / "fs" / "cgroup").mkdir(parents=True)
    (tmp_path / "sys" / "fs" / "cgroup" / "memory.events").write_text("low 0\noom 1\noom_kill 2\n")
    assert kernel_kills(tmp_path) == 2


def test_each_class_says_what_to_type_next() -> None:
    assert len({kind.name for kind in FAILURE_CLASSES}) == len(FAILURE_CLASSES)
    for kind in FAILURE_CLASSES:
        assert (
            "NIM_" in kind.hint or "`" in kind.hint or "HF_TOKEN" in kind.hint or "memory limit" in kind.hint
        )
