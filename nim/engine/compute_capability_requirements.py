"""GPUs on which the engine serves a precision: compute capabilities, and the effect on older GPUs.

The figures are the engine's own (`source`); tests compare them with its classes. The minimum of a whole
quantization method is in the catalog (`QuantizationMethod.capability`) and is used where the method is known.
"""

from collections.abc import Mapping
from types import MappingProxyType

from nim.engine.supported_names_catalog import Catalog
from nim.frozen_dataclass import frozen_dataclass

Capability = tuple[int, int]

# The oldest GPU that the published GPU build has kernels for: its extensions contain code for 7.5, 8.0, 8.6,
# 8.9, 9.0, 10.0 and 12.0.
BUILD_MINIMUM: Capability = (7, 5)


@frozen_dataclass
class Support:
    """GPUs that serve one precision. `otherwise` describes the fallback between `minimum` and `native`."""

    minimum: Capability
    native: Capability  # the least with arithmetic in this precision
    otherwise: str = ""
    before: Capability | None = None  # from here on, the engine's first kernel for such activations fails
    source: str


@frozen_dataclass
class Verdict:
    """Whether a GPU serves a precision. `note` names the difference there, `needed` what is missing."""

    runs: bool
    note: str | None = None
    needed: str | None = None
    hint: str | None = None


@frozen_dataclass
class CacheSupport:
    """Whether a GPU serves a KV cache type (None if unknown), and with which backend."""

    runs: bool | None
    backend: str | None = None
    minimum: Capability | None = None


@frozen_dataclass
class BackendSupport:
    """Whether an attention backend takes a GPU (None if unknown), and which it takes."""

    runs: bool | None
    capabilities: tuple[Capability, ...] = ()


_WEIGHTS_ONLY = "the weights stay in {0}, and Marlin kernels calculate in 16 bits"
_LINEAR = "vllm/model_executor/kernels/linear"
_QUANTIZATION = "vllm/model_executor/layers/quantization"

SUPPORT: Mapping[str, Support] = MappingProxyType(
    {
        "fp32": Support(
            minimum=BUILD_MINIMUM,
            native=BUILD_MINIMUM,
            source="vllm/platforms/cuda.py: CudaPlatformBase.supported_dtypes; the GPU build's kernels",
        ),
        "fp16": Support(
            minimum=BUILD_MINIMUM,
            native=BUILD_MINIMUM,
            source="vllm/platforms/cuda.py: CudaPlatformBase.supported_dtypes (6.0); the GPU build's kernels",
        ),
        "bf16": Support(
            minimum=BUILD_MINIMUM,
            native=(8, 0),
            otherwise="vLLM serves it in float16 instead",
            source="vllm/platforms/cuda.py: CudaPlatformBase.supported_dtypes, check_if_supports_dtype; "
            "vllm/config/model.py: _resolve_auto_dtype",
        ),
        "fp8": Support(
            minimum=(7, 5),
            native=(8, 9),
            otherwise=_WEIGHTS_ONLY.format("FP8"),
            source=f"{_QUANTIZATION}/fp8.py: Fp8Config.get_min_capability; "
            f"{_LINEAR}/scaled_mm/marlin.py: MarlinFP8ScaledMMLinearKernel; "
            "vllm/platforms/cuda.py: CudaPlatformBase.supports_fp8",
        ),
        "mxfp8": Support(
            minimum=(8, 0),
            native=(10, 0),
            otherwise=_WEIGHTS_ONLY.format("MXFP8"),
            source=f"{_QUANTIZATION}/modelopt.py: ModelOptMxFp8Config.get_min_capability; "
            f"{_LINEAR}/mxfp8: MarlinMxfp8LinearKernel, FlashInferCutlassMxfp8LinearKernel",
        ),
        "nvfp4": Support(
            minimum=(7, 5),
            native=(10, 0),
            otherwise=_WEIGHTS_ONLY.format("NVFP4"),
            source=f"{_QUANTIZATION}/modelopt.py: ModelOptNvFp4Config.get_min_capability; "
            f"{_LINEAR}/nvfp4: MarlinNvFp4LinearKernel, CutlassNvFp4LinearKernel",
        ),
        "mxfp4": Support(
            minimum=(8, 0),
            native=(10, 0),
            otherwise="the weights stay in MXFP4, and Triton or Marlin kernels calculate in 16 bits",
            source=f"{_QUANTIZATION}/mxfp4.py: Mxfp4Config.get_min_capability; "
            f"{_LINEAR}/mxfp4: MarlinMxFp4LinearKernel, FlashInferMxFp4LinearKernel",
        ),
        "int8": Support(
            minimum=(7, 5),
            native=(7, 5),
            before=(10, 0),
            source=f"{_QUANTIZATION}/compressed_tensors/schemes/compressed_tensors_w8a8_int8.py: "
            "CompressedTensorsW8A8Int8.get_min_capability; csrc/quantization/w8a8/cutlass: "
            '"Int8 not supported on SM100"',
        ),
        "int4": Support(
            minimum=(7, 5),
            native=(7, 5),
            source=f"{_LINEAR}/mixed_precision/marlin.py: MarlinLinearKernel.get_min_capability",
        ),
    }
)


def judge_precision(
    precision: str | None,
    has: Capability | None,
    catalog: Catalog,
    *,
    method: str | None = None,
    dtype: str = "auto",
    model_type: str | None = None,
) -> Verdict:
    """Return the Verdict whether a GPU of capability `has` runs a precision; unknown values run.

    `method` is the quantization method that loads them, `dtype` the value of `--dtype`. Unknown values never
    refuse.
    """
    support = SUPPORT.get(precision or "")
    if support is None or has is None:
        return Verdict(runs=True)
    found = catalog.quantization(method) if method else None
    minimum = max(support.minimum, found.capability) if found else support.minimum
    named = f"compute capability {{}} for {precision}" + (f" by {method}" if found else "")
    if has < minimum:
        return Verdict(runs=False, needed=named.format(_text(minimum)))
    if dtype == "bfloat16" and has < SUPPORT["bf16"].native:
        needed = f"compute capability {_text(SUPPORT['bf16'].native)} for --dtype bfloat16"
        return Verdict(runs=False, needed=needed, hint="--dtype auto")
    if support.before and has >= support.before:
        note = f"activations in {precision} fail from {_text(support.before)} on with vLLM's CUTLASS kernel"
        return Verdict(runs=True, note=note, hint="--linear-backend triton")
    if has < support.native and not (precision == "bf16" and dtype not in ("auto", "bfloat16")):
        return Verdict(runs=True, note=_otherwise(support, precision or "", model_type, catalog))
    return Verdict(runs=True)


def judge_cache(cache_dtype: str, has: Capability | None, catalog: Catalog, kind: str) -> CacheSupport:
    """Return the CacheSupport: whether a GPU of capability `has` serves this --kv-cache-dtype.

    `kind` is "attention", "mla" or "sparse mla". A GPU between two in the catalog is treated as the older
    one; a generation missing from the catalog is unknown.
    """
    row = catalog.rows["kv_cache_dtypes"].get(cache_dtype)
    if row is None:
        return CacheSupport(runs=None)
    backends = {_capability(text): backend for text, backend in row.get(kind, {}).items()}
    minimum = min(backends, default=None)
    older = _listed(has, catalog)
    if older is None:
        return CacheSupport(runs=None, minimum=minimum)
    backend = backends.get(older)
    return CacheSupport(runs=backend is not None, backend=backend, minimum=minimum)


def judge_backend(name: str, has: Capability | None, catalog: Catalog) -> BackendSupport:
    """Return the BackendSupport: whether attention backend `name` takes a GPU of capability `has`.

    A GPU between two in the catalog is treated as the older one, as for a cache.
    """
    backend, older = catalog.attention_backend(name), _listed(has, catalog)
    if backend is None or older is None:
        return BackendSupport(runs=None)
    return BackendSupport(runs=older in backend.capabilities, capabilities=backend.capabilities)


def _listed(has: Capability | None, catalog: Catalog) -> Capability | None:
    """Return the catalog's newest capability of the same generation not above `has`; None if unknown."""
    listed = {_capability(text) for text in catalog.rows["kv_cache_dtypes"]["auto"]["attention"]}
    older = [found for found in listed if has and found[0] == has[0] and found <= has]
    if has is None or not (older or has < min(listed)):
        return None
    return max(older, default=(0, 0))


def _otherwise(support: Support, precision: str, model_type: str | None, catalog: Catalog) -> str:
    """Return how vLLM serves a precision that the GPU lacks, as text."""
    if precision == "bf16" and model_type in catalog.names("without_float16"):
        return "vLLM serves it in float32 instead: this model is unstable in float16"
    return support.otherwise


def _text(capability: Capability) -> str:
    """Return a compute capability as text: "9.0" for (9, 0)."""
    return f"{capability[0]}.{capability[1]}"


def _capability(text: str) -> Capability:
    """Return a compute capability as a tuple: (9, 0) for "9.0"."""
    major, minor = text.split(".")
    return int(major), int(minor)
