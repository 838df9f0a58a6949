"""The bounds of the catalog's page: what is outside is refused, not clamped."""

from collections.abc import Mapping
from typing import Any

from nim.vllm_plugins.catalog_requests.refused_request import Refused

MOST_TOKENS, MOST_BUDGET = 65_536, 32_768
NO_LIMIT = -1
INT64 = 2**63
# The page's bound for a seed: that of 64 bits, as a double prints it.
SEED_BAND = 9_223_372_036_854_776_000
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
_BETWEEN: Mapping[str, tuple[float | None, float]] = {
    "max_tokens": (1, MOST_TOKENS),
    "max_completion_tokens": (1, MOST_TOKENS),
    "temperature": (0, 2),
    "top_p": (None, 1),
    "seed": (-SEED_BAND, SEED_BAND),
}


def check_bounds(body: Mapping[str, Any], *, strict: bool) -> None:
    """Raise Refused for the first number outside of the page's bounds; other kinds are vLLM's to judge."""
    messages = body.get("messages")
    if messages is None or messages == []:
        raise Refused("expected at least one message", field="messages")
    for name, (least, most) in _BETWEEN.items():
        value = body.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if value > most or (least is not None and value < least):
            low = "" if least is None else f"from {least} "
            raise Refused(f"{name} is {value}, and expected is a number {low}up to {most}", field=name)
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            _check_message(message, strict=strict)


def check_budget(value: Any) -> None:
    """Raise Refused unless a reasoning budget is a whole number from -1 to 32768."""
    if isinstance(value, bool) or not isinstance(value, int) or not NO_LIMIT <= value <= MOST_BUDGET:
        raise Refused(
            f"reasoning_budget is {str(value)[:40]}, and expected is a whole number from -1 to {MOST_BUDGET}",
            field="reasoning_budget",
        )


def _check_message(message: Mapping[str, Any], *, strict: bool) -> None:
    """Raise Refused for media that are not the user's; if strict, for roles that the page does not have."""
    role, content = message.get("role"), message.get("content")
    if strict and role not in _ROLES:
        raise Refused(f"there is no role {str(role)[:40]}", field="messages")
    if role not in ("system", "assistant") or not isinstance(content, list):
        return
    kinds = {str(part.get("type")) for part in content if isinstance(part, dict)}
    if strict:
        raise Refused(f"the content of the role {role} is a text, not a list", field="messages")
    if any(kind.endswith("_url") or kind == "input_audio" for kind in kinds):
        raise Refused(f"media are the user's, and this message is of the role {role}", field="messages")
