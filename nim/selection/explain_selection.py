"""Explain a selection as text, for `nim plan --explain`."""

from collections.abc import Iterator

from nim.selection.explain_rejected_profiles import describe
from nim.selection.find_named_profile import AUTOMATIC, PROFILE_VARIABLE, VARIANT_TAG
from nim.selection.fit_types import Fit, Kind
from nim.selection.memory.memory_fit import gigabytes
from nim.selection.select import Selection, found_words

_TESTS = {
    "engine": (Kind.ENGINE, Kind.SPLIT, Kind.LENGTH),
    "wishes": (Kind.WISH, Kind.SIZE),
    "GPU": (Kind.MODEL, Kind.CAPABILITY),
    "count": (Kind.COUNT,),
    "memory": (Kind.MEMORY, Kind.BUSY, Kind.CONTEXT),
}
# Options that bear on the choice, and what they are called here.
_OPTIONS = {
    "tensor_parallel_size": "tp",
    "pipeline_parallel_size": "pp",
    "data_parallel_size": "dp",
    "enable_expert_parallel": "expert parallel",
    "nnodes": "nodes",
    "max_model_len": "max_model_len",
    "quantization": "quantization",
    "dtype": "dtype",
    "kv_cache_dtype": "KV cache",
    "cpu_offload_gb": "GiB of weights on the host",
    "kv_cache_memory_bytes": "bytes of cache",
    "gpu_memory_utilization": "share of a GPU",
}


def explain(selection: Selection) -> str:
    """Return the selection as text of several lines: each step, GPUs, warnings, rejected profiles."""
    lines = ["how the profile was chosen", *(f"  {name:<10} {text}" for name, text in steps(selection))]
    if selection.devices:
        lines.append(f"  devices    GPU {', '.join(str(gpu.index) for gpu in selection.devices)}")
    lines += [f"  note       {warning}" for warning in selection.warnings]
    if selection.refused:
        lines += ["not chosen", *(describe(refusal) for refusal in selection.refused)]
    return "\n".join(lines) + "\n"


def steps(selection: Selection) -> Iterator[tuple[str, str]]:
    """Yield (step, text): hardware, requirements, profiles left by each test, ranking, chosen profile."""
    yield "hardware", found_words(selection.hardware)
    yield "asked", _asked(selection)
    left = list(selection.fits)
    for name, kinds in _TESTS.items():
        out = [fit for fit in left if fit is not selection.winner and _misses(fit, kinds)]
        yield name, f"{len(left) - len(out)} of {len(left)} pass"
        left = [fit for fit in left if fit not in out]
    names = [fit.profile.label for fit in left]
    yield "rank", " > ".join(names[:5]) + (" > …" if len(names) > 5 else "")
    chosen = selection.chosen
    yield "chosen", f"{chosen.label} ({chosen.because}){_size(selection.winner)}"


def _misses(fit: Fit, kinds: tuple[Kind, ...]) -> bool:
    """Return True if the profile misses a requirement of one of these kinds."""
    return any(miss.kind in kinds for miss in fit.misses)


def _asked(selection: Selection) -> str:
    """Return the user's requirements as one line of text; "nothing" without any."""
    wishes = selection.wishes
    said: dict[str, object] = {
        PROFILE_VARIABLE: wishes.profile if wishes.profile != AUTOMATIC else None,
        "tags": ",".join(wishes.tags_selector) or None,
        VARIANT_TAG: "+".join(selection.asked.variants) or None,
        "LoRA": "yes" if wishes.option("enable_lora") and selection.asked.profile is None else None,
    }
    said |= {words: wishes.option(name) for name, words in _OPTIONS.items()}
    said["NVFP4 emulation"] = "allowed" if wishes.allow_nvfp4_emulation else None
    said["engine build"] = wishes.engine_build
    return ", ".join(f"{name} {value}" for name, value in said.items() if value is not None) or "nothing"


def _size(fit: Fit) -> str:
    """Return the memory estimate as the end of a sentence; "" if nothing is known."""
    need = fit.estimate.need_bytes
    words = f", about {gigabytes(need)}{'' if fit.profile.on_cpu else ' per GPU'}" if need else ""
    if fit.estimate.fits_context and fit.memory_fit.context:
        words += f" and a context of about {fit.memory_fit.context} tokens"
    unknown = fit.estimate.unknown
    return f"{words}, not counting {' and '.join(unknown)}, which is unknown" if unknown else words
