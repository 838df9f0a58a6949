"""What the engine does with a number format on a GPU: calculates in it, gets by without, or refuses."""

from collections.abc import Iterator
from dataclasses import dataclass

from nim.hardware.types import Gpu
from nim.models.types import ModelReading
from nim.selection.engine_options import EngineOptions
from nim.selection.fit import Case, Kind, Miss

Capability = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """Compute capabilities for a format: of its own arithmetic, and the least with which the engine runs it.

    `otherwise` is what the engine does in between.
    """

    native: Capability
    least: Capability = (7, 5)
    otherwise: str = ""


MARLIN = "its weights are unpacked by Marlin and calculated with in 16 bits"
# vLLM 0.32: `get_min_capability` of each method, and `supported_dtypes` of its CUDA platform.
FORMATS = {
    "nvfp4": Format(native=(10, 0), otherwise=MARLIN),
    "mxfp8": Format(native=(10, 0), least=(8, 0), otherwise=MARLIN),
    "fp8": Format(native=(8, 9), otherwise=MARLIN),
    "mxfp4": Format(native=(8, 0), least=(8, 0)),
    "bf16": Format(native=(8, 0), otherwise="the engine calculates in float16 instead"),
    "fp16": Format(native=(7, 5)),
    "fp32": Format(native=(7, 5)),
    "int8": Format(native=(7, 5)),
    "int4": Format(native=(7, 5)),
}
# The only attention kernels for older GPUs (Triton's) have no such cache.
CACHE_CAPABILITY = (8, 0)
_OF_METHOD = {
    "modelopt_fp4": "nvfp4",
    "nvfp4": "nvfp4",
    "mxfp8": "mxfp8",
    "modelopt_mxfp8": "mxfp8",
    "mxfp4": "mxfp4",
    "gpt_oss_mxfp4": "mxfp4",
    "fp8": "fp8",
    "fbgemm_fp8": "fp8",
}
_DTYPES = {"half": "float16", "float": "float32"}
# Models that the engine does not serve in float16 (`_FLOAT16_NOT_SUPPORTED_MODELS`).
WITHOUT_FLOAT16 = frozenset({"gemma2", "gemma3", "gemma3_text", "glm4"})
_OF_DTYPE = {"bfloat16": "bf16", "float16": "fp16", "half": "fp16", "float32": "fp32", "float": "fp32"}


def capability_misses(case: Case, gpu: Gpu) -> Iterator[Miss]:
    """Yield what the GPU lacks, unless the profile names it: then it was made for it."""
    has = gpu.compute_capability
    if has is None or case.profile.names_gpu:
        return
    dtype = _OF_DTYPE.get(case.options.text("dtype") or "")
    for name in _formats(case):
        form = FORMATS[name]
        least = form.native if name == dtype == "bf16" else form.least
        if has < least:
            yield _miss(name, least, gpu, certain=True)
        elif has < form.native and name == "nvfp4" and not _may_emulate(case):
            yield _miss(name, form.native, gpu, certain=False)
    if has < CACHE_CAPABILITY and (cached := _cache_format(case)):
        yield _miss(f"a cache in {cached}", CACHE_CAPABILITY, gpu, certain=True)


def fallback(case: Case, gpu: Gpu) -> str | None:
    """Return what the engine does because the GPU has no arithmetic of its own for a format, or None."""
    has = None if case.profile.names_gpu else gpu.compute_capability
    without = [name for name in _formats(case) if has is not None and has < FORMATS[name].native]
    return (
        f"{gpu.name or 'the GPU'} has no {without[0]}: {FORMATS[without[0]].otherwise}" if without else None
    )


def served_dtype(options: EngineOptions, reading: ModelReading | None, gpu: Gpu | None) -> str:
    """Return the type that the engine calculates in: 16 bits, whatever the weights are stored in."""
    if told := options.text("dtype"):
        return _DTYPES.get(told, told)
    has = gpu.compute_capability if gpu else None
    stored = (reading and reading.dtype) or "bfloat16"
    if has is None or has >= FORMATS["bf16"].native:
        return "float16" if stored in ("float16", "half") else "bfloat16"
    return "float32" if reading is not None and _needs_range(reading) else "float16"


def _needs_range(reading: ModelReading) -> bool:
    return bool({reading.model_type, reading.text_model_type} & WITHOUT_FLOAT16)


def _formats(case: Case) -> tuple[str, ...]:
    """What is asked of the GPU: the format of the weights, and of the activations where that is told."""
    told = _OF_DTYPE.get(case.options.text("dtype") or "")
    method = _of_method(case.options.text("quantization") or "")
    stored = case.profile.precision
    unquantized = stored in _OF_DTYPE.values()
    weights = (told or stored) if unquantized else stored
    return tuple(dict.fromkeys(name for name in (method, weights, told) if name in FORMATS))


def _of_method(method: str) -> str | None:
    """The format that `--quantization` names: `fp8_per_block` is FP8."""
    return _OF_METHOD.get(method) or next((name for name in FORMATS if method.startswith(f"{name}_")), None)


def _cache_format(case: Case) -> str | None:
    """The format of the KV cache, where it is told or the checkpoint has it, and has less than 16 bits."""
    stored = case.facts.reading.quantization if case.facts else None
    told = case.options.text("kv_cache_dtype") or (stored and stored.kv_cache_dtype) or ""
    return told if told.startswith(("fp8", "nvfp4")) else None


def _may_emulate(case: Case) -> bool:
    """Emulation is chosen only where it is allowed, or where a person brought the model along as it is."""
    return case.wishes.allow_nvfp4_emulation or case.brought


def _miss(name: str, needed: Capability, gpu: Gpu, *, certain: bool) -> Miss:
    has = gpu.compute_capability or (0, 0)
    return Miss(
        kind=Kind.CAPABILITY,
        needed=f"compute capability {needed[0]}.{needed[1]} for {name}",
        found=f"{has[0]}.{has[1]} ({gpu.name or 'unknown name'})",
        change=None if certain else "NIM_ALLOW_NVFP4_EMULATION=1",
        certain=certain,
    )
