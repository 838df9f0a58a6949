"""Parse the counters of vLLM's /metrics that change only while an engine core works."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from nim.frozen_dataclass import frozen_dataclass

# KV cache use grows with each chunk of a long prompt, before the first token.
_SIGN = re.compile(
    rb"^vllm:(num_requests_running|num_requests_waiting|kv_cache_usage_perc|generation_tokens_total"
    rb"|prompt_tokens_total|iteration_tokens_total_count|engine_sleep_state)"
    rb"\{(.*)\} (\d+(?:\.\d+)?(?:e[-+]?\d+)?)$",
    re.MULTILINE,
)
_ENGINE = re.compile(rb'engine="(\w+)"')


@dataclass(slots=True)
class Core:
    """Counters of one engine core. Any change in `signs` means that the core has worked."""

    running: float = 0
    signs: list[bytes] = field(default_factory=list)


@frozen_dataclass
class EngineCounters:
    """One reading of all cores, by engine number. `asleep`: sleep mode is on, so no probe may be sent."""

    cores: Mapping[bytes, Core]
    asleep: bool


def read_counters(text: bytes) -> EngineCounters | None:
    """Return the EngineCounters in the text of /metrics; None if it lacks them (another engine)."""
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
