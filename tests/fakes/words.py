"""What vLLM prints: its log lines on stdout; progress bars, tracebacks and usage on stderr."""

import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TextIO

VERSION = "0.32.0"
TRACE = 'Traceback (most recent call last):\n  File "vllm/v1/worker/gpu_worker.py", line 1, in run\n'

# Why vLLM dies: the process that says so, its exit code, the root cause.
GPU_FULL = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of "
    "139.80 GiB of which 1.31 GiB is free."
)
CUT_FILE = (
    "safetensors._safetensors_rust.SafetensorError: Error while deserializing header: "
    "incomplete metadata, file not fully covered"
)
GATED = (
    "OSError: You are trying to access a gated repo.\n"
    "Make sure to have access to it at https://huggingface.co/{model}.\n401 Client Error."
)
OLD_DRIVER = (
    "RuntimeError: The NVIDIA driver on your system is too old (found version 12020). "
    "Please update your GPU driver."
)
CRASHES: Mapping[str, tuple[str, int, str]] = {
    "gpu_oom": ("Worker", 1, GPU_FULL),
    "host_oom": ("killed", 1, "Worker proc VllmWorker-0 died unexpectedly (exit code: -9), shutting down."),
    "bad_argument": ("usage", 2, "vllm: error: unrecognized arguments: --no-such-flag"),
    "missing_weights": ("Worker", 1, "RuntimeError: Cannot find any model weights with `{model}`"),
    "damaged_weights": ("Worker", 1, CUT_FILE),
    "auth": ("APIServer", 1, GATED),
    "cuda_driver": ("Worker", 1, OLD_DRIVER),
    "port_in_use": ("APIServer", 1, "OSError: [Errno 98] Address already in use"),
    "unknown": ("EngineCore", 1, "RuntimeError: something that nobody has met before"),
}


PIDS: dict[str, int] = {}
"""The process ids of those who speak, where they are not this process."""


def log(who: str, where: str, text: str, level: str = "INFO") -> None:
    """Print one record as vLLM writes it, with the prefix before every line."""
    head = f"({who} pid={PIDS.get(who, os.getpid())}) {level} {time.strftime('%m-%d %H:%M:%S')} [{where}]"
    say("\n".join(f"{head} {line}" for line in text.split("\n")))


def warn(text: str) -> None:
    """Print a line on stderr."""
    say(text, sys.stderr)


def say(text: str, where: TextIO | None = None) -> None:
    """Print a line; a closed pipe is ignored, as by Python's logging."""
    with suppress(BrokenPipeError):
        print(text, file=where, flush=True)


def tell_start(model: str, options: object) -> None:
    """Log the banner and the arguments."""
    log("APIServer", "api_utils.py:347", f"  █▄█▀ █     █     █     █  model   {model}  version {VERSION}")
    log("APIServer", "api_utils.py:286", f"non-default args: {options}")


def tell_load(model: str) -> None:
    """Log that the core begins to load the model."""
    engine = f"Initializing a V1 LLM engine (v{VERSION}) with config: model='{model}'"
    log("EngineCore", "core.py:133", engine)
    log("Worker", "gpu_model_runner.py:5040", f"Starting to load model {model}...")


def tell_fetched(model: str, seconds: float) -> None:
    """Log that the download is complete."""
    text = f"Time spent downloading weights for {model}: {seconds:.6f} seconds"
    log("Worker", "weight_utils.py:541", text)


def tell_shard(done: int, shards: int) -> None:
    """Print the progress bar of the checkpoint's files."""
    share = f"{100 * done // shards:3d}% Completed | {done}/{shards}"
    warn(f"\rLoading safetensors checkpoint shards: {share} [00:00<00:00,  2.36it/s]")


def tell_loaded(seconds: float) -> None:
    """Log that all weights are loaded."""
    log("Worker", "default_loader.py:501", f"Loading weights took {seconds:.2f} seconds")
    log("Worker", "gpu_model_runner.py:5150", f"Model loading took 0.01 GiB memory and {seconds:.6f} seconds")


def tell_compile() -> None:
    """Log that compilation begins."""
    log("Worker", "monitor.py:45", "Starting torch.compile")


def tell_compiled(seconds: float) -> None:
    """Log that compilation is complete."""
    log("Worker", "backends.py:1167", "Dynamo bytecode transform time: 0.10 s")
    log("Worker", "backends.py:399", "Compiling a graph for compile range (1, 512) takes 0.10 s")
    log("Worker", "monitor.py:62", f"torch.compile took {seconds:.2f} s in total")


def tell_cache(max_model_len: int) -> None:
    """Log the size of the KV cache."""
    room = 2097152
    log("Worker", "gpu_worker.py:760", "Available KV cache memory: 1.0 GiB")
    concurrency = f"Maximum concurrency for {max_model_len:,} tokens per request: {room / max_model_len:.2f}x"
    log("EngineCore", "kv_cache_utils.py:2327", f"GPU KV cache size: {room:,} tokens, {concurrency}")


def tell_captured(seconds: float) -> None:
    """Log that CUDA graphs were captured."""
    bar = "100%|██████████| 2/2 [00:00<00:00,  9.99it/s]"
    warn(f"\rCapturing CUDA graphs (mixed prefill-decode, PIECEWISE): {bar}")
    took = f"Graph capturing finished in {seconds:.0f} secs, took 0.01 GiB"
    log("Worker", "gpu_model_runner.py:6582", took)


def tell_engine(seconds: float, address: str) -> None:
    """Log that the engine is ready."""
    took = f"init engine (profile, create kv cache, warmup model) took {seconds:.2f} s"
    log("EngineCore", "core.py:402", took)
    log("APIServer", "entry.py:140", f"Starting vLLM server on {address}")


def tell_ready() -> None:
    """Log uvicorn's line when it answers."""
    warn(f"INFO:     Started server process [{os.getpid()}]\nINFO:     Waiting for application startup.")
    warn("INFO:     Application startup complete.")


def tell_stop(drain_seconds: float) -> None:
    """Log that SIGTERM was received."""
    log("APIServer", "launcher.py:254", "[shutdown] API server: shutdown triggered")
    mode = f"mode={'drain' if drain_seconds else 'abort'} timeout={drain_seconds:g}s"
    log("APIServer", "launcher.py:270", f"[shutdown] API server: stopping engine client {mode}")


def tell_stopped() -> None:
    """Log that the server has ended."""
    log("APIServer", "launcher.py:304", "[shutdown] API server: shutting down FastAPI HTTP server")
    warn("INFO:     Application shutdown complete.")


def tell_core_lost(dead: str) -> None:
    """Log that a child process died unexpectedly."""
    log("APIServer", "core_client.py:817", "[shutdown] MPClient: engine core exited unexpectedly", "WARNING")
    cause = f"AsyncLLM output_handler failed.\n{TRACE}vllm.v1.engine.exceptions.EngineDeadError: {dead}"
    log("APIServer", "async_llm.py:906", cause, "ERROR")


def tell_access(client: str, request_line: str, status: int, reason: str) -> None:
    """Log a line of uvicorn's access log."""
    say(f'INFO:     {client} - "{request_line}" {status} {reason}')


def tell_crash(name: str, text: str | None, model: str) -> int:
    """Return what is printed by a vLLM that dies so while it starts; its exit code."""
    who, code, cause = CRASHES[name]
    cause = text or cause.format(model=model)
    if who == "usage":
        warn(f"usage: vllm serve [model_tag] [options]\n{cause}")
    elif who == "APIServer":
        warn(TRACE + cause)
    else:
        tell_core_failed(who, cause)
    return code


def tell_core_failed(who: str, cause: str) -> None:
    """Log a root cause in a worker or the core, and the errors it causes in their parents."""
    if who == "killed":
        log("EngineCore", "multiproc_executor.py:315", cause, "ERROR")
    if who == "Worker":
        log("Worker", "multiproc_executor.py:953", f"WorkerProc failed to start.\n{TRACE}{cause}", "ERROR")
    if who != "EngineCore":
        cause = "Exception: WorkerProc initialization failed due to an exception in a background process."
    log("EngineCore", "core.py:1510", f"EngineCore failed to start.\n{TRACE}{cause}", "ERROR")
    failed = "Engine core initialization failed. See root cause above. Failed core proc(s): {}"
    warn(f"{TRACE}RuntimeError: {failed}")
