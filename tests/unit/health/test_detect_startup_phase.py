"""From vLLM's own log lines to phases."""

import pytest

from nim.data_paths import ROOT
from nim.engine import load_options
from nim.health.detect_startup_phase import IN_ORDER, RELEASES, Start, Step
from nim.service_state import Phase

# What vLLM 0.32 wrote for a small model on a CPU, in its order; what says nothing is left in between.
CPU = """\
(APIServer pid=1) INFO 11-21 07:57:08 [api_utils.py:286] non-default args: {'model': '/m', 'port': 18099}
(APIServer pid=1) INFO 11-21 07:57:08 [model.py:733] Resolved architecture: LlamaForCausalLM
(EngineCore pid=2) INFO 11-21 07:57:14 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: …
(Worker pid=3) INFO 11-21 07:57:21 [cpu_model_runner.py:68] Starting to load model /m...
(Worker pid=3) INFO 11-21 07:57:21 [base_loader.py:82] Initializing model took 0.087334 seconds
Loading safetensors checkpoint shards:   0% Completed | 0/4 [00:00<?, ?it/s]
Loading safetensors checkpoint shards:  75% Completed | 3/4 [00:00<00:00, 312.22it/s]
(Worker pid=3) INFO 11-21 07:57:21 [default_loader.py:501] Loading weights took 0.00 seconds
(Worker pid=3) INFO 11-21 07:57:21 [cpu_model_runner.py:87] Warming up model for the compilation...
(Worker pid=3) INFO 11-21 07:57:41 [monitor.py:91] [backbone] Initial profiling/warmup run took 0.01 s
(Worker pid=3) INFO 11-21 07:57:42 [cpu_model_runner.py:91] Warming up done.
(EngineCore pid=2) INFO 11-21 07:57:42 [kv_cache_utils.py:2327] CPU KV cache size: 1,048,576 tokens, …
(EngineCore pid=2) INFO 11-21 07:57:42 [c.py:4] init engine (profile, create kv cache, warmup model) took 9 s
(APIServer pid=1) INFO 11-21 07:57:43 [entry.py:140] Starting vLLM server on unix:/run/nim/engine.sock
INFO:     Waiting for application startup.
INFO:     Application startup complete.
"""

# What it writes on a GPU, from its source.
GPU = """\
Starting to load model org/name...
Time spent downloading weights for org/name: 61.200000 seconds
Loading safetensors checkpoint shards:  50% Completed | 1/2 [00:00<00:00, 2.36it/s]
Model loading took 14.96 GiB memory and 12.104813 seconds
[backbone] Using cache directory: /c/torch_compile_cache/x/rank_0_0/backbone for vLLM's torch.compile
Dynamo bytecode transform time: 5.10 s
[backbone] Compiling a graph for compile range (1, 8192) takes 20.10 s
Available KV cache memory: 52.1 GiB
GPU KV cache size: 2,097,152 tokens, Maximum concurrency for 4,096 tokens per request: 512.00x
Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  50%|█████     | 34/67 [00:02<00:02, 13.9it/s]
Graph capturing finished in 5 secs, took 0.51 GiB
"""


def started(*, fetches: bool = False, release: str | None = "0.32.0") -> Start:
    """Return a start whose engine runs."""
    start = Start(fetches=fetches, release=release)
    start.begin()
    return start


def phases(text: str, *, fetches: bool = False) -> list[Phase]:
    """Return the phases that a log goes through."""
    start = started(fetches=fetches)
    found: list[Phase] = []
    for line in text.splitlines():
        step = start.read(line)
        if step and step.phase not in found[-1:]:
            found.append(step.phase)
    return found


def test_a_start_on_a_cpu() -> None:
    assert phases(CPU) == [Phase.LOAD, Phase.COMPILE, Phase.WARM_UP]


def test_a_start_on_a_gpu_with_a_download() -> None:
    assert phases(GPU, fetches=True) == [Phase.FETCH, Phase.LOAD, Phase.COMPILE, Phase.WARM_UP]


def test_a_local_model_has_no_fetch_phase() -> None:
    assert phases(GPU)[0] is Phase.LOAD


def test_progress_is_counted_not_guessed() -> None:
    start = started()
    assert start.read("Starting to load model /m...") == Step(
        phase=Phase.LOAD, message="the engine is loading the weights", progress=None
    )
    step = start.read("Loading safetensors checkpoint shards:  75% Completed | 3/4 [00:00<00:00, 312.22it/s]")
    assert step
    assert (step.message, step.progress) == ("the engine is loading the weights: 3 of 4", 0.75)


@pytest.mark.parametrize(
    "bar",
    [
        "Loading safetensors checkpoint shards",
        "Loading pt checkpoint shards",
        "Loading np_cache checkpoint shards",
        "Multi-thread loading shards",
        "Multi-thread loading pt checkpoint shards",
        "Loading safetensors using Runai Model Streamer",
        "Loading safetensors using InstantTensor loader",
    ],
)
def test_every_loader_s_bar_counts(bar: str) -> None:
    step = started(fetches=True).read(f"{bar}:  25% Completed | 2/8 [00:01<00:03,  2.00it/s]")
    assert step
    assert (step.phase, step.progress) == (Phase.LOAD, 0.25)


@pytest.mark.parametrize("what", ["", "prefill ", "decode ", "multi-module MTP "])
def test_graphs_of_drafting_models_count_too(what: str) -> None:
    step = started().read(f"Capturing {what}CUDA graphs (FULL):  50%|██   | 4/8 [00:01<00:01, 4it/s]")
    assert step
    assert (step.phase, step.progress) == (Phase.WARM_UP, 0.5)


def test_a_phase_does_not_come_back() -> None:
    start = started()
    assert start.read("Dynamo bytecode transform time: 5.10 s")
    assert (
        start.read("Loading safetensors checkpoint shards:  75% Completed | 3/4 [00:00<00:00, 3it/s]") is None
    )
    assert start.phase is Phase.COMPILE


@pytest.mark.parametrize(
    "line", ["", "hello", "Loading checkpoint shards: soon", "INFO something new in 0.33"]
)
def test_an_unknown_line_changes_nothing(line: str) -> None:
    start = started(fetches=True)
    assert start.read(line) is None
    assert (start.phase, start.serving) == (Phase.SELECT, False)


@pytest.mark.parametrize("fetches", [True, False])
def test_before_its_first_known_line_an_engine_is_starting_and_nothing_more(fetches: bool) -> None:
    """It imports itself and reads its arguments: it neither fetches nor loads."""
    start = Start(fetches=fetches, release="0.32.1+cpu")
    assert start.begin() == Step(phase=Phase.SELECT, message="the engine is starting")
    for line in CPU.splitlines()[:3]:
        assert start.read(line) is None
    assert start.phase is Phase.SELECT


def test_a_line_that_is_not_known_leaves_the_phase_as_it_was() -> None:
    start = started()
    assert start.read("Dynamo bytecode transform time: 5.10 s")
    assert start.read("(Worker pid=3) INFO 11-21 07:57:21 [new.py:1] Polishing the weights") is None
    assert start.phase is Phase.COMPILE


@pytest.mark.parametrize("release", ["0.33.0", "0.3.2", "1.0", "", None])
def test_an_unknown_release_has_no_phases(release: str | None) -> None:
    start = Start(fetches=True, release=release)
    assert start.begin().phase is Phase.UNKNOWN
    for line in (CPU + GPU).splitlines():
        assert start.read(line) is None
    assert start.serving


def test_the_lines_of_the_pinned_release_are_known() -> None:
    """When it moves: look at the log of a start on a CPU and on a GPU, then add it to RELEASES."""
    assert load_options().version.startswith(RELEASES)


def test_every_phase_is_explained_to_operators() -> None:
    text = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
    for phase in Phase:
        assert f"\n| `{phase}` | " in text, phase


def test_the_line_with_which_it_serves() -> None:
    start = started()
    for line in CPU.splitlines():
        start.read(line)
    assert start.serving


def test_the_order_is_that_of_a_start() -> None:
    assert [*IN_ORDER, Phase.READY] == list(Phase)[: len(IN_ORDER) + 1]
