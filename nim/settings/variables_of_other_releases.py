"""Variables of other NIM releases, most of 1.x, that have no effect here, and their replacements.

Their meaning is taken from NVIDIA's public documentation of NIM for LLMs 1.2 to 1.15 and of the VLM and
Cosmos NIMs, and from deployments that set them.
"""

from collections.abc import Mapping
from types import MappingProxyType

from nim.frozen_dataclass import frozen_dataclass

OFF = frozenset({"disabled", "none", "off", "0", "false", "no"})


@frozen_dataclass
class Replaced:
    """The replacement of a variable. `{}` in a text stands for the given value.

    `off` is the text for a value that switches the variable off; None: such a value needs no warning.
    """

    use: str
    off: str | None = None
    switch: bool = False
    release: str = "NIM 1.x"

    def warning(self, name: str, text: str) -> str | None:
        """Return the warning that this variable has no effect, as text; None if none is needed."""
        value = text.strip()
        use = self.use
        if self.switch and value.lower() in OFF:
            if self.off is None:
                return None
            use = self.off
        instead = use.replace("{}", value)
        return f"{name} is a variable of {self.release} and has no effect here; instead: {instead}"


def _switch(use: str, off: str | None = None) -> Replaced:
    """Return the Replaced of an on-off variable: `use` replaces it when on, `off` when off."""
    return Replaced(use=use, off=off, switch=True)


def _flag(flag: str) -> Replaced:
    """Return the Replaced whose text sets engine flag `flag` by NIM_PASSTHROUGH_ARGS."""
    return Replaced(use=f"NIM_PASSTHROUGH_ARGS='{flag}'")


_VLLM_ONLY = Replaced(use="nothing: the engine is always vLLM")
_DYNAMO = Replaced(use=_VLLM_ONLY.use, switch=True, release="NIM 3")
_POOLING = _flag("--runner pooling")
_TRACES = Replaced(use="NIM_PASSTHROUGH_ARGS='--otlp-traces-endpoint URL'")
_OFFLOADING = Replaced(
    use="NIM_PASSTHROUGH_ARGS='--kv-offloading-size GIB', the host memory for the KV cache"
)

OTHER_RELEASES: Mapping[str, Replaced] = MappingProxyType(
    {
        # Memory
        "NIM_LOW_MEMORY_MODE": _switch(
            "NIM_MAX_MODEL_LEN=… or NIM_MAX_MODEL_LEN=auto for less memory, NIM_KVCACHE_PERCENT=… for a "
            "smaller share; `nim plan` says what fits"
        ),
        "NIM_RELAX_MEM_CONSTRAINTS": _switch(
            "NIM_MODEL_PROFILE=…: a profile requested by name starts even if the memory estimate is too high"
        ),
        "NIM_ENABLE_KV_CACHE_REUSE": _switch(
            "nothing: prefix caching is on", off="NIM_PASSTHROUGH_ARGS=--no-enable-prefix-caching"
        ),
        "NIM_ENABLE_KV_CACHE_HOST_OFFLOAD": Replaced(use=_OFFLOADING.use, switch=True),
        "NIM_KV_CACHE_HOST_MEM_FRACTION": _OFFLOADING,
        "NIM_NUM_KV_CACHE_SEQ_LENS": Replaced(use="NIM_PASSTHROUGH_ARGS='--kv-cache-memory-bytes BYTES'"),
        # Decoding and scheduling
        "NIM_GUIDED_DECODING_BACKEND": _flag("--structured-outputs-config.backend {}"),
        "NIM_CUSTOM_GUIDED_DECODING_BACKENDS": Replaced(
            use="NIM_PASSTHROUGH_ARGS='--structured-outputs-config.backend xgrammar' or another of vLLM's own"
        ),
        "NIM_FORCE_DETERMINISTIC": _switch("VLLM_BATCH_INVARIANT=1"),
        "NIM_SCHEDULER_POLICY": Replaced(
            use="NIM_PASSTHROUGH_ARGS='--scheduling-policy priority' or fcfs, which is the default"
        ),
        "NIM_DISABLE_OVERLAP_SCHEDULING": _switch("NIM_PASSTHROUGH_ARGS=--no-async-scheduling"),
        "NIM_ENABLE_PROMPT_LOGPROBS": _switch("nothing: set `prompt_logprobs` in the request"),
        "NIM_MAX_NUM_BATCHED_TOKENS": _flag("--max-num-batched-tokens {}"),
        "NIM_STREAM_INTERVAL": _flag("--stream-interval {}"),
        "NIM_TOKENIZER_MODE": _flag("--tokenizer-mode {}"),
        "NIM_ENABLE_DP_ATTENTION": _switch(
            "NIM_PASSTHROUGH_ARGS='--data-parallel-size N --enable-expert-parallel'"
        ),
        "NIM_COMPILATION_CONFIG": _flag("--compilation-config {}"),
        "NIM_REASONING_PARSER": _flag("--reasoning-parser {}"),
        # Images, video and sound
        "NIM_MAX_IMAGES_PER_PROMPT": Replaced(
            use="""NIM_PASSTHROUGH_ARGS='--limit-mm-per-prompt {"image":{}}'"""
        ),
        "NIM_MAX_VIDEOS_PER_PROMPT": Replaced(
            use="""NIM_PASSTHROUGH_ARGS='--limit-mm-per-prompt {"video":{}}'"""
        ),
        "NIM_MAX_AUDIOS_PER_PROMPT": Replaced(
            use="""NIM_PASSTHROUGH_ARGS='--limit-mm-per-prompt {"audio":{}}'"""
        ),
        "NIM_MEDIA_IO_KWARGS": _flag("--media-io-kwargs {}"),
        "NIM_MM_PROCESSOR_KWARGS": _flag("--mm-processor-kwargs {}"),
        "NIM_MM_ENCODER_ATTN_BACKEND": _flag("--mm-encoder-attn-backend {}"),
        "NIM_MM_ENCODER_TP_MODE": _flag("--mm-encoder-tp-mode {}"),
        "NIM_VIDEO_PRUNING_RATE": _flag("--video-pruning-rate {}"),
        "NIM_VIDEO_PRUNING_METHOD": _flag("--video-pruning-method {}"),
        "NIM_DISABLE_CHUNKED_MM_INPUT": _switch("NIM_PASSTHROUGH_ARGS=--disable-chunked-mm-input"),
        "NIM_DISABLE_MM_PREPROCESSOR_CACHE": _switch("NIM_PASSTHROUGH_ARGS='--mm-processor-cache-gb 0'"),
        # Reward models
        "NIM_REWARD_MODEL": Replaced(use=_POOLING.use, switch=True),
        "NIM_REWARD_MODEL_STRING": _POOLING,
        "NIM_REWARD_LOGITS_RANGE": _POOLING,
        # The model and the container
        "NIM_CUSTOM_MODEL_NAME": Replaced(use="NIM_SERVED_MODEL_NAME={}"),
        "NIM_FT_CHECKPOINT": Replaced(use="NIM_MODEL_PATH={}"),
        "NIM_MANIFEST_ALLOW_UNSAFE": _switch("NIM_MANIFEST_PATH=…, a custom manifest"),
        "NIM_ENGINE_MODEL_PATH": Replaced(use="NIM_MODEL_PATH={}", release="NIM 3"),
        "NIM_ENGINE_MODEL_DOWNLOAD_ONLY": Replaced(
            use="the command `nim fetch`", switch=True, release="NIM 3"
        ),
        "NIM_DISABLE_LOG_REQUESTS": _switch(
            "nothing: requests are not logged", off="NIM_PASSTHROUGH_ARGS=--enable-log-requests"
        ),
        "NIM_SSL_CERT_PATH": Replaced(use="SSL_CERT_FILE={}"),
        "NIM_USE_SGLANG": _VLLM_ONLY,
        "NIM_USE_TRTLLM_LEGACY_BACKEND": _VLLM_ONLY,
        "NIM_TRT_ENGINE_HOST_CODE_ALLOWED": _VLLM_ONLY,
        "NIM_OTEL_SERVICE_NAME": Replaced(use="OTEL_SERVICE_NAME={}"),
        "NIM_OTEL_TRACES_EXPORTER": _TRACES,
        "NIM_OTEL_METRICS_EXPORTER": Replaced(use="`/v1/metrics`"),
        # NIM 3 with Dynamo
        "NIM_DYNAMO_SINGLE": _DYNAMO,
        "NIM_DYNAMO_WORKER": _DYNAMO,
        "NIM_DYNAMO_FRONTEND": _DYNAMO,
    }
)
