"""vLLM's own answers about the catalog and the capabilities, from a process of its own.

`python -m tests.contract.catalog_judge catalog` reads compute capabilities from stdin, and prints the
catalog of the installed vLLM, without the classes of Transformers, and what it chooses on such GPUs. `models
DIR` reads names from stdin, and prints what its own ModelConfig makes of a model of each.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any


def main(what: str, directory: str = "") -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever vLLM prints
    question = json.load(sys.stdin)
    answer = _models(directory, question) if what == "models" else _catalog(question)
    answers.write(json.dumps(answer))
    answers.close()


def _catalog(capabilities: list[list[int]]) -> Any:
    from nim.engine.inspection.catalog import installed_catalog

    catalog = installed_catalog(with_transformers=False)
    kernels = {f"{major}.{minor}": _kernels(major, minor) for major, minor in capabilities}
    return {"catalog": catalog, "kernels": kernels}


def _kernels(major: int, minor: int) -> Any:
    """Return the first kernel of each kind, dtypes, and what its platform says of FP8."""
    from nim.engine.inspection.pretend_gpu_build import set_capability

    set_capability((major, minor))
    from vllm.model_executor.kernels import linear
    from vllm.platforms import current_platform

    kinds = {
        "fp8": linear._POSSIBLE_FP8_KERNELS,
        "mxfp8": linear._POSSIBLE_MXFP8_KERNELS,
        "nvfp4": linear._POSSIBLE_NVFP4_KERNELS,
        "mxfp4": linear._POSSIBLE_MXFP4_KERNELS,
        "int8": linear._POSSIBLE_INT8_KERNELS,
    }
    here = current_platform._enum
    capability = major * 10 + minor
    first = {
        kind: next((k.__name__ for k in kernels[here] if k.is_supported(capability)[0]), None)
        for kind, kernels in kinds.items()
    }
    packed = [
        kernel for kernel in linear._POSSIBLE_KERNELS[here] if 0 < kernel.get_min_capability() <= capability
    ]
    return {
        "first": first | {"int4": packed[-1].__name__ if packed else None},
        "dtypes": [str(dtype).removeprefix("torch.") for dtype in current_platform.supported_dtypes],
        "fp8": current_platform.supports_fp8(),
    }


def _models(directory: str, names: list[str]) -> Any:
    """Return the class that loads it, or None where vLLM refuses the architecture."""
    import transformers
    from vllm.config import ModelConfig

    found = {}
    for name in names:
        place = Path(directory) / name
        known = getattr(transformers, name, None)
        config = known.config_class() if known is not None else transformers.LlamaConfig()
        config.architectures = [name]
        config.save_pretrained(place)
        try:
            model = ModelConfig(model=str(place), tokenizer=str(place), skip_tokenizer_init=True)
            found[name] = model._model_info.architecture
        except ValueError as error:
            refused = ("are not supported for now", "is not supported anymore", "supported in-tree anymore")
            found[name] = None if any(text in str(error) for text in refused) else f"another error: {error}"
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
