"""A page of Swagger for the agent's own document, whose files come from the engine's package."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse

from nim.routes import AGENT_DOCS

PAGE, DOCUMENT, SCRIPT, STYLE = AGENT_DOCS
_FILES = "entrypoints/serve/instrumentator/static"


def docs_router() -> APIRouter:
    """Return the router of the page and its two files."""
    router = APIRouter(include_in_schema=False)

    @router.get(PAGE)
    async def page() -> Any:
        return get_swagger_ui_html(
            openapi_url=DOCUMENT,
            title="Agent",
            swagger_js_url=SCRIPT,
            swagger_css_url=STYLE,
            swagger_favicon_url="data:,",
        )

    @router.get(SCRIPT)
    async def script() -> Any:
        return _file("swagger-ui-bundle.js", "text/javascript")

    @router.get(STYLE)
    async def style() -> Any:
        return _file("swagger-ui.css", "text/css")

    return router


def _file(name: str, kind: str) -> FileResponse:
    """Return the response of a file of vLLM's offline documents; HTTPException 404 without vLLM."""
    spec = find_spec("vllm")  # which imports nothing
    file = Path(spec.origin).parent / _FILES / name if spec and spec.origin else None
    if not file or not file.is_file():
        raise HTTPException(404, f"cannot find {name} in the engine's package")
    return FileResponse(file, media_type=kind)
