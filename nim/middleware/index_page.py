"""The index page at /: what this service is and its links, as JSON or HTML."""

from html import escape
from typing import Any

from nim.plan import Plan
from nim.routes import let_through
from nim.service_state import State

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
    "Vary": "Accept",
}

_LINKS = {
    "docs": "/docs",
    "openapi": "/openapi.json",
    "models": "/v1/models",
    "ready": "/v1/health/ready",
    "startup": "/v1/health/startup",
    "metadata": "/v1/metadata",
    "metrics": "/v1/metrics",
}

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>nim: {model}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #222;
       max-width: 40em; margin: 3em auto; padding: 0 1em }}
h1 {{ font-size: 1.4em; margin-bottom: 0 }}
th {{ text-align: left; padding-right: 2em; font-weight: 600 }}
@media (prefers-color-scheme: dark) {{ body {{ background: #181818; color: #ddd }} a {{ color: #8ab4f8 }} }}
</style>
</head>
<body>
<h1>{model}</h1>
<p>An OpenAI- and Anthropic-compatible inference service, nim {release}. Status: {status}</p>
<table>
{rows}
</table>
</body>
</html>
"""


def index(plan: Plan, state: State) -> dict[str, Any]:
    """Return the index as a dict of JSON values: release, models, state and links to open routes."""
    return {
        "object": "service",
        "name": "nim",
        "release": plan.release,
        "models": list(plan.model.served_names),
        "phase": state.phase.value,
        "ready": state.ready,
        "links": _links(plan),
    }


def index_page(plan: Plan, state: State) -> str:
    """Return the index as an HTML page, with relative addresses, since a proxy may add a prefix."""
    rows = [
        f'<tr><th>{name}</th><td><a href="{path.lstrip("/")}">{path}</a></td></tr>'
        for name, path in _links(plan).items()
    ]
    names = plan.model.served_names or (plan.model.name,)
    status = "ready" if state.ready else f"{state.phase.value}: {state.message}"
    return _PAGE.format(
        model=escape(names[0]), release=escape(plan.release), status=escape(status), rows="\n".join(rows)
    )


def _links(plan: Plan) -> dict[str, str]:
    """Return {name: path} of the index's links whose routes are open."""
    return {name: path for name, path in _LINKS.items() if let_through(path, plan.gateway.route_groups)}
