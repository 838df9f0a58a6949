"""Translate steps into Markdown for people, as the streams of generate and chat send them."""

import html
import json
from typing import Any

from nim.agent.steps.step import Step

_PREFIXES = {"LLM": "", "TOOL": "Tool: "}


def markdown_step(step: Step) -> dict[str, Any] | None:
    """Return the object of a step with a Markdown payload; None for a step that is not shown.

    Shown are starts and ends of the model's calls and of tools. Single tokens are not: the
    answer has them.
    """
    category, _, moment = step.event_type.partition("_")
    if category not in _PREFIXES or moment not in ("START", "END"):
        return None
    payload = f"**Input:**\n```python\n{_text(step.input)}\n```"
    if moment == "END":
        payload += f"\n\n**Output:**\n{_text(step.output)}"
    return {
        "id": step.uuid,
        "parent_id": step.parent_id,
        "type": "markdown",
        "name": _PREFIXES[category] + step.name,
        "payload": html.escape(payload, quote=False),
    }


def _text(value: Any) -> str:
    """Return a value as text: strings as they are, others as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
