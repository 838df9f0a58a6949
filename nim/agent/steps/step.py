"""One step of a workflow, and the object that clients are sent for it."""

import json
from collections.abc import Mapping
from typing import Any

from nim.frozen_dataclass import frozen_dataclass

ROOT = "root"
"""The parent of the outermost step."""


@frozen_dataclass
class Step:
    """What happened. Start and end of one span share `uuid`; times are Unix seconds.

    `span_timestamp`: when the span began. `usage`: tokens as the engine counted them.
    """

    event_type: str
    name: str
    uuid: str
    parent_id: str
    timestamp: float
    span_timestamp: float
    input: Any = None
    output: Any = None
    chunk: str | None = None
    usage: Mapping[str, int] | None = None
    llm_calls: int = 0
    seconds_between_calls: float = 0


def raw_step(step: Step) -> dict[str, Any]:
    """Return the object of a step as `/generate/full` sends it; its `payload` is JSON text."""
    tokens = step.usage or {}
    payload = {
        "event_type": step.event_type,
        "event_timestamp": step.timestamp,
        "span_event_timestamp": step.span_timestamp,
        "framework": None,
        "name": step.name,
        "tags": None,
        "metadata": {},
        "data": {"input": step.input, "output": step.output, "chunk": step.chunk},
        "usage_info": {
            "token_usage": {
                name: tokens.get(name, 0) for name in ("prompt_tokens", "completion_tokens", "total_tokens")
            },
            "num_llm_calls": step.llm_calls,
            "seconds_between_calls": step.seconds_between_calls,
        },
        "UUID": step.uuid,
    }
    return {
        "id": step.uuid,
        "parent_id": step.parent_id,
        "type": step.event_type,
        "name": step.name,
        "payload": json.dumps(payload, ensure_ascii=False, default=str),
    }
