"""How much memory a profile takes on each of its GPUs, or on the host for a CPU profile, as far as is known.

parameters × bytes ÷ (TP × PP), plus the keys and values of one sequence of the full context (the engine does
not start with less), plus an allowance for everything else. What is not known is not invented: it is said.
"""

from dataclasses import dataclass
from math import ceil

from nim.manifest import Model, Profile
from nim.manifest.types import BILLION, GB

BYTES_PER_PARAMETER = {
    "fp32": 4.0,
    "bf16": 2.0,
    "fp16": 2.0,
    "fp8": 1.0,
    "int8": 1.0,
    "mxfp8": 1.0,
    "nvfp4": 0.5,
    "mxfp4": 0.5,
    "int4": 0.5,
}
# Bytes of one cached value; NVFP4 has one byte of scale for sixteen values.
BYTES_PER_CACHED = {"fp8": 1.0, "int8": 1.0, "nvfp4": 0.5625, "float32": 4.0, "bfloat16": 2.0, "float16": 2.0}
GPU_WORKSPACE_BYTES = 2 * GB
"""CUDA's context, activations and graphs: an allowance, not a measurement."""
CPU_WORKSPACE_BYTES = GB
ENGINE_UTILIZATION = 0.92
"""The share of a GPU that vLLM takes unless it is told otherwise."""
MOST_UTILIZATION = 0.98
LENGTH_STEP = 128
GIB = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Bytes per GPU. None is unknown; `unknown` says which facts are missing.

    `least_bytes` is what it takes to start at all, `need_bytes` with a context of `max_model_len`.
    """

    weights_bytes: int | None
    workspace_bytes: int
    kv_bytes_per_token: float | None
    max_model_len: int | None
    least_bytes: int | None
    need_bytes: int | None
    unknown: tuple[str, ...]

    def longest(self, usable_bytes: int) -> int | None:
        """The longest context that `usable_bytes` hold; None where that is unknown or none at all."""
        if self.least_bytes is None or not self.kv_bytes_per_token:
            return None
        room = usable_bytes - max(self.least_bytes, self._without_context())
        length = int(room / self.kv_bytes_per_token) // LENGTH_STEP * LENGTH_STEP
        return length if length > 0 else None

    def need_with(self, max_model_len: int) -> int | None:
        """What it takes with this context."""
        if self.least_bytes is None:
            return None
        return self.least_bytes + ceil((self.kv_bytes_per_token or 0) * max_model_len)

    def _without_context(self) -> int:
        return (self.weights_bytes or 0) + self.workspace_bytes


def estimate(profile: Profile, model: Model | None, max_model_len: int | None = None) -> Estimate:
    """The memory of one profile. `max_model_len` is what the user wants, if anything."""
    devices = profile.tensor_parallel_size * profile.pipeline_parallel_size
    total = _weights_bytes(profile, model)
    weights = None if total is None else ceil(total / devices)
    per_token = _kv_bytes_per_token(profile, model)
    length = _length(max_model_len) or profile_context(profile) or (model.max_model_len if model else None)
    workspace = CPU_WORKSPACE_BYTES if profile.on_cpu else GPU_WORKSPACE_BYTES
    least = _least_bytes(profile, weights, workspace)
    cache = _cache_bytes(profile, per_token, length)
    return Estimate(
        weights_bytes=weights,
        workspace_bytes=workspace,
        kv_bytes_per_token=None if profile.on_cpu else per_token,
        max_model_len=length,
        least_bytes=least,
        need_bytes=None if least is None else least + (cache or 0),
        unknown=_unknown(weights or least, cache),
    )


def profile_context(profile: Profile) -> int | None:
    """The context that the profile itself sets."""
    return _length(profile.engine.args.get("max-model-len"))


def _length(value: object) -> int | None:
    """A number of tokens; the engine knows words for lengths, too, which say nothing here."""
    return value if isinstance(value, int) and value > 0 else None


def _weights_bytes(profile: Profile, model: Model | None) -> float | None:
    if profile.weights_gb is not None:
        return profile.weights_gb * GB
    size = BYTES_PER_PARAMETER.get(profile.precision or "")
    if model is None or model.parameters is None or size is None:
        return None
    return model.parameters.total_billions * BILLION * size


def _least_bytes(profile: Profile, weights: int | None, workspace: int) -> int | None:
    stated = None if profile.memory_gb is None else round(profile.memory_gb * GB)
    if weights is None:
        return stated
    return max(weights + workspace, stated or 0)


def _cache_bytes(profile: Profile, per_token: float | None, length: int | None) -> int | None:
    """The cache: of a full context on a GPU; on a CPU the engine reserves what it is told, in GiB."""
    if profile.on_cpu:
        told = profile.engine.env.get("VLLM_CPU_KVCACHE_SPACE", "")
        within = profile.memory_gb is not None  # what is stated was measured with the cache
        return int(told) * GIB * (not within) if told.isdecimal() else None
    return None if per_token is None or length is None else ceil(per_token * length)


def _kv_bytes_per_token(profile: Profile, model: Model | None) -> float | None:
    """One token's keys and values on one GPU: heads are shared out up to one each, layers over the stages."""
    if model is None or model.kv_cache is None:
        return None
    size = _cached_value_bytes(profile)
    if size is None:
        return None
    kv = model.kv_cache
    heads = ceil(kv.heads / profile.tensor_parallel_size)
    layers = ceil(kv.layers / profile.pipeline_parallel_size)
    return 2 * layers * heads * kv.head_dim * size


def _cached_value_bytes(profile: Profile) -> float | None:
    kind = str(profile.engine.args.get("kv-cache-dtype") or "auto")
    if kind == "auto":
        return 4.0 if profile.precision == "fp32" else 2.0
    return next((size for name, size in BYTES_PER_CACHED.items() if kind.startswith(name)), None)


def _unknown(weights: int | None, cache: int | None) -> tuple[str, ...]:
    missing = [] if weights is not None else ["the size of the weights"]
    return tuple(missing + ([] if cache is not None else ["what a token of context costs"]))
