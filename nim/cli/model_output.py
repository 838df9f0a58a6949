"""Format the reading of a model for people and programs."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from nim.cli.model_fit import Judgement
from nim.fetch.format_size import format_size
from nim.log_format import visible
from nim.models.cache import CacheSettings
from nim.models.types import ModelReading, Quantization

_WIDTH = 15


def model_data(reading: ModelReading, cache: CacheSettings, judgement: Judgement) -> dict[str, Any]:
    """Return the reading as `nim model --json` prints it: null is unknown."""
    context, quantization, experts = reading.context, reading.quantization, reading.experts
    return {
        "architecture": reading.architecture,
        "model_type": reading.model_type,
        "heads": reading.heads,
        "kv_heads": reading.kv_heads,
        "head_size": reading.head_size,
        "hidden_size": reading.hidden_size,
        "layers": reading.layer_kinds,
        "experts": None if experts is None else asdict(experts),
        "context": cache.context or None,
        "derived_context": None if context is None else asdict(context),
        "quantization": None if quantization is None else quantization.method,
        "quantized": None if quantization is None else _quantized(quantization),
        "precision": reading.precision,
        "dtype": reading.dtype,
        "modalities": list(reading.modalities),
        "generates": reading.generates,
        "tensor_parallel_size": cache.tensor_parallel_size,
        "pipeline_parallel_size": cache.pipeline_parallel_size,
        "parameter_bytes": judgement.parameter_bytes,
        "cache_bytes": judgement.cache_bytes,
        "tensor_parallel_sizes": judgement.tensor_parallel_sizes,
        "refusal": judgement.refusal,
        "fit": None if judgement.fit is None else asdict(judgement.fit) | {"fits": _fits(judgement, cache)},
    }


def model_text(reading: ModelReading, cache: CacheSettings, judgement: Judgement) -> str:
    """Return the reading for people, one fact per line."""
    rows = (*_facts(reading), *_sizes(reading, cache, judgement), *_verdict(cache, judgement))
    return "".join(f"{name:<{_WIDTH}}{visible(value)}\n" for name, value in rows)


def _quantized(quantization: Quantization) -> dict[str, Any]:
    """Return the quantization as JSON values."""
    return {name: value for name, value in asdict(quantization).items() if name not in ("method", "ignored")}


def _fits(judgement: Judgement, cache: CacheSettings) -> bool | None:
    """Return whether the model fits, including whether there are as many GPUs as ranks."""
    ranks = cache.tensor_parallel_size * cache.pipeline_parallel_size
    if judgement.machine.gpus and len(judgement.machine.gpus) < ranks:
        return False
    return None if judgement.fit is None else judgement.fit.fits


def _facts(reading: ModelReading) -> Iterator[tuple[str, str]]:
    """Yield label and text of each fact."""
    kind = f" ({reading.model_type})" if reading.model_type else ""
    yield "Architecture", f"{reading.architecture or 'unknown'}{kind}"
    yield "Serves", f"{_task(reading.generates)} from {', '.join(reading.modalities)}"
    heads = f"{_or_unknown(reading.heads)} heads, {_or_unknown(reading.kv_heads)} KV heads"
    yield "Attention", f"{heads} of {_or_unknown(reading.head_size)}"
    kinds = reading.layer_kinds
    yield "Layers", ", ".join(f"{n} {kind}" for kind, n in kinds.items()) if kinds else "unknown"
    if reading.experts:
        chosen = f", {reading.experts.per_token} a token" if reading.experts.per_token else ""
        yield "Experts", f"{reading.experts.count}{chosen}"
    yield "Precision", _precision(reading)


def _precision(reading: ModelReading) -> str:
    """Return precision and quantization as text."""
    quantization = reading.quantization
    if quantization is None:
        return reading.precision or "unknown"
    details = [
        f"method {quantization.method or 'unknown'}",
        f"groups of {quantization.group_size}" if quantization.group_size else "",
        f"blocks of {quantization.block[0]} × {quantization.block[1]}" if quantization.block else "",
        f"KV cache in {quantization.kv_cache_dtype}" if quantization.kv_cache_dtype else "",
    ]
    return f"{reading.precision or 'unknown'} ({', '.join(part for part in details if part)})"


def _sizes(reading: ModelReading, cache: CacheSettings, judgement: Judgement) -> Iterator[tuple[str, str]]:
    """Yield label and text of context, weights and cache."""
    context = reading.context
    if context:
        yield "Context", f"{context.tokens} tokens: {context.why}"
    sizes = judgement.tensor_parallel_sizes
    yield "TP sizes", ", ".join(map(str, sizes)) if sizes else "unknown"
    if judgement.refusal:
        return
    ranks = cache.tensor_parallel_size * cache.pipeline_parallel_size
    share = f" on each of {ranks} ranks" if ranks > 1 else ""
    yield "Weights", f"{_bytes(judgement.parameter_bytes)}{share}"
    yield "Cache", f"{_bytes(judgement.cache_bytes)}{share} for a sequence of {cache.context} tokens"


def _verdict(cache: CacheSettings, judgement: Judgement) -> Iterator[tuple[str, str]]:
    """Yield label and text of whether the model fits."""
    machine, fit = judgement.machine, judgement.fit
    if judgement.refusal:
        yield "Fits", f"no: {judgement.refusal}"
        return
    if not machine.gpus:
        return
    ranks = cache.tensor_parallel_size * cache.pipeline_parallel_size
    of_each = " of each" if ranks > 1 else ""
    name = f"{ranks} × {machine.gpus[0].name or 'GPU'}"
    if len(machine.gpus) < ranks:
        yield "Fits", f"no: {ranks} ranks on {len(machine.gpus)} GPUs"
    elif fit is None:
        yield "Fits", f"unknown on {name}"
    elif fit.free_bytes <= 0:
        yield "Fits", f"no: the weights alone do not fit {name}"
    else:
        yield "Fits", f"{_task_of(fit.fits)} on {name}: {format_size(fit.free_bytes)} for the cache{of_each}"
        if fit.longest is not None:
            yield "Longest", f"{fit.longest} tokens"


def _task(generates: bool | None) -> str:
    """Return what the model is served for, as text."""
    return {True: "generation", False: "pooling (embeddings, scores)", None: "unknown"}[generates]


def _task_of(fits: bool | None) -> str:
    """Return "yes", "no" or "unknown"."""
    return {True: "yes", False: "no", None: "unknown"}[fits]


def _bytes(size: int | None) -> str:
    """Return a number of bytes as text; "unknown" for None."""
    return "unknown" if size is None else format_size(size)


def _or_unknown(value: int | None) -> str:
    """Return a number as text; "unknown" for None."""
    return "unknown" if value is None else str(value)
