"""Rewrite one request: tags become parts, asset references become files, the budget gets vLLM's name."""

from collections.abc import Iterator
from typing import Any

from nim.vllm_plugins.catalog_requests.check_bounds import INT64, NO_LIMIT, check_bounds, check_budget
from nim.vllm_plugins.catalog_requests.find_media_tags import PARTS, parts_of
from nim.vllm_plugins.catalog_requests.launcher_settings import Rules
from nim.vllm_plugins.catalog_requests.resolve_asset_references import Find, is_reference

BUDGET, KWARGS, OURS = "reasoning_budget", "chat_template_kwargs", "thinking_token_budget"
THINKING = "enable_thinking"

Body = dict[str, Any]


def rewrite(body: Body, rules: Rules, find: Find) -> bool:
    """Change a request in place; return whether anything changed. Refused for what the catalog refuses."""
    check_bounds(body, strict=rules.strict)
    steps = (_tags(body), _assets(body, find), _seed(body), _thinking(body), _budget(body, rules))
    return any([*steps])


def _tags(body: Body) -> bool:
    """Turn tags in texts of the user into parts; return whether there were any."""
    changed = False
    for message in _messages(body):
        content = message.get("content")
        text = content if message.get("role") == "user" and isinstance(content, str) else ""
        if parts := parts_of(text):
            message["content"] = parts
            changed = True
    return changed


def _assets(body: Body, find: Find) -> bool:
    """Replace asset references in parts of the user by URLs; return whether there were any."""
    changed = False
    for message in _messages(body):
        content = message.get("content") if message.get("role") == "user" else None
        for part in content if isinstance(content, list) else ():
            kind = part.get("type") if isinstance(part, dict) else None
            if kind not in PARTS.values():
                continue
            holder, key = (part[kind], "url") if isinstance(part.get(kind), dict) else (part, kind)
            if isinstance(url := holder.get(key), str) and is_reference(url):
                holder[key] = find(url)
                changed = True
    return changed


def _seed(body: Body) -> bool:
    """Move a seed that a double has rounded past 64 bits to their edge; return whether it was."""
    seed = body.get("seed")
    if isinstance(seed, bool) or not isinstance(seed, int) or -INT64 <= seed < INT64:
        return False
    body["seed"] = INT64 - 1 if seed > 0 else -INT64
    return True


def _thinking(body: Body) -> bool:
    """Switch thinking as `/think` or `/no_think` in the system prompt says; return whether it did."""
    kwargs = body.get(KWARGS)
    if isinstance(kwargs, dict) and THINKING in kwargs:
        return False
    words = [word for text in _system_texts(body) for word in text.split() if word in ("/think", "/no_think")]
    if not words or not isinstance(kwargs, dict | None):
        return False
    body[KWARGS] = {**(kwargs or {}), THINKING: words[-1] == "/think"}
    return True


def _budget(body: Body, rules: Rules) -> bool:
    """Give the reasoning budget the name that vLLM has for it; return whether anything changed.

    vLLM's own name counts before the catalog's, and that before the member of `chat_template_kwargs`.
    """
    kwargs = body.get(KWARGS)
    named = [body.pop(BUDGET)] if BUDGET in body else []
    if isinstance(kwargs, dict) and BUDGET in kwargs:
        rest = {name: value for name, value in kwargs.items() if name != BUDGET}
        named.append(kwargs[BUDGET])
        body[KWARGS] = rest
        if not rest:
            del body[KWARGS]
    given = [value for value in named if value is not None]
    for value in given:
        check_budget(value)
    if body.get(OURS) is not None:
        return bool(named)
    if given:
        if given[0] != NO_LIMIT:
            body[OURS] = given[0]
        return True
    thinks = not (isinstance(kwargs, dict) and kwargs.get(THINKING) is False)
    if rules.default_budget is None or not thinks:
        return bool(named)
    body[OURS] = rules.default_budget
    return True


def _system_texts(body: Body) -> Iterator[str]:
    """Yield the texts of system messages, those of parts included."""
    for message in _messages(body):
        content = message.get("content") if message.get("role") == "system" else None
        if isinstance(content, str):
            yield content
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                yield part["text"]


def _messages(body: Body) -> Iterator[Body]:
    """Yield the messages that are objects."""
    messages = body.get("messages")
    yield from (each for each in (messages if isinstance(messages, list) else ()) if isinstance(each, dict))
