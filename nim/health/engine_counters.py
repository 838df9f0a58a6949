"""What vLLM's own counters tell about its work: the lines of /metrics that only a working core can change."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

# The share of the KV cache in use grows with each piece of a long prompt, when no token has come yet.
_SIGN = re.compile(
    rb"^vllm:(num_requests_running|num_requests_waiting|kv_cache_usage_perc|generation_tokens_total"
    rb"|prompt_tokens_total|iteration_tokens_total_count|engine_sleep_state)"
    rb"\{(.*)\} (\d+(?:\.\d+)?(?:e[-+]?\d+)?)$",
    re.MULTILINE,
)
_ENGINE = re.compile(rb'engine="(\w+)"')


@dataclass(slots=True)
class Core:
    """One engine core. Whatever of `signs` changes, the core has done it."""

    running: float = 0
    signs: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCounters:
    """One look: every core by its number. `asleep`: it was told to sleep, and is not to be woken."""

    cores: Mapping[bytes, Core]
    asleep: bool


def read_counters(text: bytes) -> EngineCounters | None:
    """None if the text has none of these: another engine, or one that was told to keep no statistics."""
    cores: dict[bytes, Core] = defaultdict(Core)
    asleep = False
    for name, labels, value in _SIGN.findall(text):
        engine = _ENGINE.search(labels)
        core = cores[engine[1] if engine else b"0"]
        core.signs.append(value)
        if name == b"num_requests_running":
            core.running += float(value)
        elif name == b"engine_sleep_state" and b'"awake"' in labels:
            asleep = asleep or not float(value)
    known = any(len(core.signs) > 1 for core in cores.values())
    return EngineCounters(cores=cores, asleep=asleep) if known else None
