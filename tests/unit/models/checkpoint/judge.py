"""vLLM's own loader in a process of its own: a directory and load format per line, in JSON.

The answer is the files that it would load, or its refusal: {"files": […]} or {"refused": "…"}.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Answer until stdin ends. The first answer is an empty object: vLLM has been imported."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever vLLM prints

    from vllm.config.load import LoadConfig
    from vllm.model_executor.model_loader.default_loader import DefaultModelLoader

    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        directory, load_format = json.loads(line)
        loader = DefaultModelLoader(LoadConfig(load_format=load_format))
        print(json.dumps(_judge(loader, directory)), file=answers, flush=True)


def _judge(loader: Any, directory: str) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        _, files, is_safetensors, _ = loader._prepare_weights(directory, None, None, True, None)
        for file in files if is_safetensors else ():
            with safe_open(file, framework="pt"):
                pass
    except (SafetensorError, RuntimeError, OSError, ValueError) as error:
        return {"refused": f"{type(error).__name__}: {error}"}
    return {"files": sorted(Path(file).name for file in files)}


if __name__ == "__main__":
    main()
