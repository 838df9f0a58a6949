"""The log lines of a service that has become ready: where it answers, and a request to try."""

import json
import shlex
from collections.abc import Iterator

from nim.plan import Plan
from nim.routes import MODELS, let_through
from nim.tasks_of_routes import why_not

DOCS, CHAT, EMBEDDINGS = "/docs", "/v1/chat/completions", "/v1/embeddings"


def ready_lines(plan: Plan) -> Iterator[str]:
    """Yield the log lines of a ready service: address and model, then a curl command if its route is open."""
    groups = plan.gateway.route_groups
    if plan.proxy:
        yield f"ready: {plan.gateway.scheme}://localhost:{plan.gateway.server_port}, models at {MODELS}"
        return
    url = f"{plan.gateway.scheme}://localhost:{plan.gateway.server_port}"
    name = plan.model.served_names[0] if plan.model.served_names else plan.model.name
    docs = f", docs at {DOCS}" if let_through(DOCS, groups) else ""
    yield f"ready: {url}, model {name}{docs}"
    path, body = _example(plan, name)
    if let_through(path, groups) and not why_not(path, plan.gateway.tasks):
        data = shlex.quote(json.dumps(body, ensure_ascii=False))
        yield f"try: curl {url}{path} -H 'Content-Type: application/json' -d {data}"


def _example(plan: Plan, name: str) -> tuple[str, dict[str, object]]:
    """Return (path, JSON body) of a request to try: an embedding for pooling models, else a chat."""
    if why_not(CHAT, plan.gateway.tasks) and not why_not(EMBEDDINGS, plan.gateway.tasks):
        return EMBEDDINGS, {"model": name, "input": "Hello"}
    return CHAT, {"model": name, "messages": [{"role": "user", "content": "Hello"}]}
