"""Format the reading of a model for people and programs."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from nim.cli.judge_model import Judgement, fits, lacks
from nim.fetch.format_size import format_size
from nim.log_format import visible
from nim.models.types import ModelReading, Quantization
from nim.selection.fit_types import Fit

_WIDTH = 15


def model_data(reading: ModelReading, judgement: Judgement) -> dict[str, Any]:
    """Return the dict that `nim model --json` prints; None is unknown."""
    context, quantization, experts = reading.context, reading.quantization, reading.experts
    parallel = judgement.fit.parallel
    return {
        "architecture": reading.architecture,
        "model_type": reading.model_type,
        "heads": reading.heads,
        "kv_heads": reading.kv_heads,
        "head_size": reading.head_size,
        "hidden_size": reading.hidden_size,
        "layers": reading.layer_kinds,
        "experts": None if experts is None else asdict(experts),
        "context": judgement.context,
        "derived_context": None if context is None else asdict(context),
        "quantization": None if quantization is None else quantization.method,
        "quantized": None if quantization is None else _quantized(quantization),
        "precision": reading.precision,
        "dtype": reading.dtype,
        "modalities": list(reading.modalities),
        "generates": reading.generates,
        "tensor_parallel_size": parallel.tensor,
        "pipeline_parallel_size": parallel.pipeline,
        "parameter_bytes": judgement.parameter_bytes,
        "cache_bytes": judgement.cache_bytes,
        "tensor_parallel_sizes": judgement.tensor_parallel_sizes,
        "refusal": judgement.refusal,
        "fit": _fit_data(judgement) if judgement.has_gpus else None,
    }


def model_text(reading: ModelReading, judgement: Judgement) -> str:
    """Return the text that `nim model` prints for people, one fact per line."""
    rows = (*_facts(reading), *_sizes(reading, judgement), *_verdict(judgement))
    return "".join(f"{name:<{_WIDTH}}{visible(value)}\n" for name, value in rows)


def _quantized(quantization: Quantization) -> dict[str, Any]:
    """Return the quantization as a dict of JSON values."""
    return {name: value for name, value in asdict(quantization).items() if name not in ("method", "ignored")}


def _fit_data(judgement: Judgement) -> dict[str, Any]:
    """Return a dict about memory: whether the model fits, bytes of one rank, contexts in tokens."""
    estimate = judgement.fit.estimate
    needed = estimate.cost.bytes_for(judgement.context) if estimate.cost and judgement.context else None
    return {
        "fits": fits(judgement.fit),
        "usable_bytes": judgement.usable_bytes,
        "free_bytes": judgement.free_bytes,
        "needed_bytes": needed,
        "longest": judgement.longest,
        "lacks": [f"needs {miss.needed}; found {miss.found}" for miss in lacks(judgement.fit)],
        "by_tensor_parallel_size": {
            str(size): {"fits": fits(each), "longest": _longest(each)}
            for size, each in judgement.by_size.items()
        },
    }


def _longest(fit: Fit) -> int | None:
    """Return the longest context in tokens of a Fit, up to the one asked for; 0 if none, None if unknown."""
    estimate, usable = fit.estimate, fit.memory_fit.usable_bytes
    if usable is None or estimate.cost is None or estimate.least_bytes is None:
        return None
    return estimate.longest(usable) or 0


def _facts(reading: ModelReading) -> Iterator[tuple[str, str]]:
    """Yield (label, text) of each fact about the model."""
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
    """Return precision and quantization as text; "unknown" if they are."""
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


def _sizes(reading: ModelReading, judgement: Judgement) -> Iterator[tuple[str, str]]:
    """Yield (label, text) of context, parallel sizes, weights and cache."""
    context = reading.context
    if context:
        yield "Context", f"{context.tokens} tokens: {context.why}"
    sizes = judgement.tensor_parallel_sizes
    yield "TP sizes", ", ".join(map(str, sizes)) if sizes else "unknown"
    if judgement.refusal:
        return
    ranks = judgement.fit.parallel.ranks
    share = f" on each of {ranks} ranks" if ranks > 1 else ""
    length = "unknown length" if judgement.context is None else f"{judgement.context} tokens"
    yield "Weights", f"{_bytes(judgement.parameter_bytes)}{share}"
    yield "Cache", f"{_bytes(judgement.cache_bytes)}{share} for a sequence of {length}"


def _verdict(judgement: Judgement) -> Iterator[tuple[str, str]]:
    """Yield (label, text) of whether the model fits, and with which longest context."""
    fit = judgement.fit
    if judgement.refusal:
        yield "Fits", f"no: {judgement.refusal}"
    elif judgement.has_gpus:
        machine = f"{fit.parallel.ranks} × {(fit.group.gpus and fit.group.gpus[0].name) or 'GPU'}"
        words = f"{_yes_no(fits(fit))} with {_flags(fit)} on {machine}{_room(judgement)}{_why(fit)}"
        other = next((size for size, each in judgement.by_size.items() if fits(each)), None)
        yield "Fits", words + (f"; fits with --tensor-parallel-size {other}" if lacks(fit) and other else "")
        if judgement.longest is not None:
            yield "Longest", f"{judgement.longest} tokens"
    if judgement.has_gpus and len(judgement.by_size) > 1:
        by_size = (f"{size} {_brief(each)}" for size, each in judgement.by_size.items())
        yield "By TP size", ", ".join(by_size)


def _flags(fit: Fit) -> str:
    """Return the vLLM flags for the judged parallel sizes as text."""
    stages = fit.parallel.pipeline
    return f"--tensor-parallel-size {fit.parallel.tensor}" + (
        f" --pipeline-parallel-size {stages}" if stages > 1 else ""
    )


def _room(judgement: Judgement) -> str:
    """Return text on the memory left for the cache; "" if unknown."""
    free = judgement.free_bytes
    if free is None:
        return ""
    if free <= 0:
        return ", which the weights alone do not fit"
    return f", {format_size(free)} for the cache{' of each' if judgement.fit.parallel.ranks > 1 else ''}"


def _why(fit: Fit) -> str:
    """Return text on the unmet requirements of a Fit; "" if there are none."""
    words = [f"needs {miss.needed}; found {miss.found}" for miss in lacks(fit)]
    return f": {', '.join(words)}" if words else ""


def _brief(fit: Fit) -> str:
    """Return "yes", "no", "unknown", or text on the context with which the model fits."""
    shorter = _longest(fit) if fit.low_memory else None
    return f"up to {shorter} tokens" if shorter else _yes_no(fits(fit))


def _task(generates: bool | None) -> str:
    """Return text on what the model is served for: generation, pooling or unknown."""
    return {True: "generation", False: "pooling (embeddings, scores)", None: "unknown"}[generates]


def _yes_no(fits: bool | None) -> str:
    """Return "yes", "no" or, for None, "unknown"."""
    return {True: "yes", False: "no", None: "unknown"}[fits]


def _bytes(size: int | None) -> str:
    """Return a number of bytes as text; "unknown" for None."""
    return "unknown" if size is None else format_size(size)


def _or_unknown(value: int | None) -> str:
    """Return a number as text; "unknown" for None."""
    return "unknown" if value is None else str(value)
