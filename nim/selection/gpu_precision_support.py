"""Check that the engine supports a profile's number formats on a GPU, natively or by a fallback."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from nim.engine.compute_capability_requirements import (
    SUPPORT,
    Capability,
    Verdict,
    judge_backend,
    judge_cache,
    judge_precision,
)
from nim.engine.supported_names_catalog import load_catalog
from nim.hardware.types import Gpu
from nim.models.facts import ModelFacts
from nim.models.types import LayerKind, ModelReading
from nim.selection.effective_options import EngineOptions
from nim.selection.fit_types import Case, Kind, Miss

# Formats that a value of `--quantization` makes of unquantized weights, by how it begins.
_MADE = ("nvfp4", "mxfp8", "mxfp4", "fp8", "int8")
SPARSE = "sparse mla"
_ATTENTION = {"attention": "attention", "mla": "latent attention (MLA)", SPARSE: "sparse latent attention"}
_DTYPES = {"half": "float16", "float": "float32"}
_OF_DTYPE = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}


def capability_misses(case: Case, gpu: Gpu) -> Iterator[Miss]:
    """Yield a Miss for each number format, cache type or backend that this GPU does not support."""
    if gpu.compute_capability is None:
        return
    yield from _backend_misses(case, gpu)
    if case.profile.names_gpu:
        return
    for precision, verdict in _verdicts(case, gpu):
        if not verdict.runs and verdict.needed:
            yield _miss(verdict.needed, gpu, change=verdict.hint, certain=True)
        elif precision == "nvfp4" and not _may_emulate(case):
            native = SUPPORT[precision].native
            if gpu.compute_capability < native:
                change = "NIM_ALLOW_NVFP4_EMULATION=1"
                yield _miss(_words(native, precision), gpu, change=change, certain=False)
    yield from _cache_misses(case, gpu)


def fallback(case: Case, gpu: Gpu) -> str | None:
    """Return how the engine runs a format that this GPU lacks, as text; None if it needs no fallback."""
    if case.profile.names_gpu:
        return None
    notes = {
        f"{verdict.note} ({verdict.hint})" if verdict.hint else verdict.note
        for _, verdict in _verdicts(case, gpu)
        if verdict.note
    }
    return f"on {gpu.name or 'this GPU'} {'; '.join(sorted(notes))}" if notes else None


def served_dtype(options: EngineOptions, reading: ModelReading | None, gpu: Gpu | None) -> str:
    """Return the type in which the engine computes, "bfloat16", "float16" or "float32", never None."""
    if configured := options.text("dtype"):
        return _DTYPES.get(configured, configured)
    has = gpu.compute_capability if gpu else None
    stored = (reading and reading.dtype) or "bfloat16"
    if has is None or has >= SUPPORT["bf16"].native:
        return "float16" if stored in ("float16", "half") else "bfloat16"
    types = {reading.model_type, reading.text_model_type} if reading else set()
    return "float32" if types & {*load_catalog().names("without_float16")} else "float16"


def _verdicts(case: Case, gpu: Gpu) -> Iterator[tuple[str, Verdict]]:
    """Yield (precision, Verdict) of this GPU for the format made at load and the checkpoint's format."""
    catalog, reading = load_catalog(), case.facts.reading if case.facts else None
    dtype = _DTYPES.get(case.options.text("dtype") or "auto", case.options.text("dtype") or "auto")
    method = case.options.text("quantization")
    stored = reading.quantization.method if reading and reading.quantization else None
    plain = case.profile.precision in _OF_DTYPE.values()
    made = next((name for name in _MADE if method and plain and method.startswith(name)), None)
    configured = _OF_DTYPE.get(dtype) if plain else None
    for precision, by in ((made, method), (configured or case.profile.precision, None if plain else stored)):
        if precision is not None:
            verdict = judge_precision(
                precision,
                gpu.compute_capability,
                catalog,
                method=by,
                dtype=dtype,
                model_type=(reading.text_model_type or reading.model_type) if reading else None,
            )
            yield precision, verdict


def _cache_misses(case: Case, gpu: Gpu) -> Iterator[Miss]:
    """Yield a Miss if no attention backend on this GPU supports the KV cache's type."""
    reading = case.facts.reading if case.facts else None
    stored = reading.quantization.kv_cache_dtype if reading and reading.quantization else None
    configured = case.options.get("kv_cache_dtype")
    dtype = str(configured) if configured else stored or "auto"
    kind = _attention(reading)
    if kind == SPARSE and dtype.startswith("fp8"):
        dtype = "fp8"  # the engine takes the layout of its kernels for it, whichever it is
    found = judge_cache(dtype, gpu.compute_capability, load_catalog(), kind)
    if found.runs is False and found.minimum is not None:
        what = _ATTENTION[kind] if dtype == "auto" else f"a cache in {dtype}"
        yield _miss(_words(found.minimum, what), gpu, change=None, certain=True)


def _backend_misses(case: Case, gpu: Gpu) -> Iterator[Miss]:
    """Yield a Miss if the configured attention backend does not run on this GPU."""
    name = case.options.text("attention_backend")
    whole = case.options.get("attention_config")
    named = name or (whole.get("backend") if isinstance(whole, Mapping) else None)
    found = judge_backend(str(named or "").upper(), gpu.compute_capability, load_catalog())
    if found.runs is not False or not _attends(case.facts):
        return
    *others, last = (f"{major}.{minor}" for major, minor in found.capabilities)
    words = f"{', '.join(others)} or {last}" if others else last
    option = "attention-backend" if name else "attention-config"
    needed = f"compute capability {words} for --{option} {named}"
    miss = _miss(needed, gpu, change=f"leave out --{option}", certain=True)
    place = case.options.place(option.replace("-", "_"))
    alone = f"with --{option} {named} ({place}): it needs compute capability {words}, and found {miss.found}"
    yield replace(miss, alone=alone)


def _attends(facts: ModelFacts | None) -> bool:
    """Return False if no layer of the model has attention; True if one has, or if unknown."""
    layers = facts.reading.layers if facts else None
    return layers is None or any(layer.kind not in (LayerKind.STATE, LayerKind.NONE) for layer in layers)


def _attention(reading: ModelReading | None) -> str:
    """Return the model's kind of attention: "attention", "mla" or "sparse mla"."""
    caches = [cache for layer in (reading and reading.layers) or () for cache in layer.caches]
    if any(cache.dtype == "uint8" for cache in caches):
        return SPARSE
    return "mla" if any(cache.kind is LayerKind.MLA for cache in caches) else "attention"


def _may_emulate(case: Case) -> bool:
    """Return True if NVFP4 may be emulated: allowed by the user, or the manifest is generic."""
    return case.wishes.allow_nvfp4_emulation or case.generic


def _words(needed: Capability, what: str) -> str:
    """Return a required compute capability as text: "compute capability 8.9 for fp8"."""
    return f"compute capability {needed[0]}.{needed[1]} for {what}"


def _miss(needed: str, gpu: Gpu, *, change: str | None, certain: bool) -> Miss:
    """Return the Miss for a compute capability that this GPU does not have."""
    has = gpu.compute_capability or (0, 0)
    found = f"{has[0]}.{has[1]} ({gpu.name or 'unknown name'})"
    return Miss(kind=Kind.CAPABILITY, needed=needed, found=found, change=change, certain=certain)
