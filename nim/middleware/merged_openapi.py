"""The OpenAPI document of the service: the engine's open routes and the management routes."""

import json
import logging
from collections.abc import Collection, Mapping
from typing import Any

from nim.middleware import management_openapi
from nim.middleware.response_bodies import API_VERSION
from nim.middleware.upstream_clients import Upstreams, fetch
from nim.routes import let_through
from nim.service_state import State

log = logging.getLogger(__name__)

# The engine builds its document at the first request: about a second, more on a busy machine.
ENGINE_TIMEOUT_SECONDS = 20.0

Document = dict[str, Any]


class Description:
    """The OpenAPI document as bytes. The engine is asked once per start."""

    def __init__(self, groups: Collection[str]) -> None:
        self._groups = tuple(groups)
        self._merged: bytes | None = None
        self._life: tuple[tuple[str, int], ...] = ()

    async def read(self, state: State, upstreams: Upstreams) -> bytes:
        """Return the merged document as JSON bytes, cached until a restart; only ours without an engine."""
        if self._merged is None or self._life != state.restarts:
            self._life, self._merged = state.restarts, await self._ask(upstreams)
        return self._merged or _encoded(alone(self._groups))

    async def _ask(self, upstreams: Upstreams) -> bytes | None:
        """Fetch the engine's document; return it merged with ours as JSON bytes, None if that fails."""
        text = await fetch(upstreams.engine, "/openapi.json", ENGINE_TIMEOUT_SECONDS)
        try:
            return _encoded(merged(json.loads(text), self._groups)) if text else None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("cannot merge the engine's OpenAPI document: %r", error)
            return None


def alone(groups: Collection[str]) -> Document:
    """Return the OpenAPI document, a dict, of the management routes alone, while the engine is down."""
    return {"openapi": "3.1.0", "x-engine": "not up"} | _ours(groups)


def merged(engine: Mapping[str, Any], groups: Collection[str]) -> Document:
    """Return the engine's document, a dict, without closed routes, with the management routes added."""
    ours = _ours(groups)
    components = engine.get("components", {})
    schemas = components.get("schemas", {}) | ours["components"]["schemas"]
    return {
        **engine,
        **ours,
        "tags": [*engine.get("tags", ()), *ours["tags"]],
        "paths": _open(engine["paths"], groups) | ours["paths"],
        "components": {**components, "schemas": schemas},
    }


def _ours(groups: Collection[str]) -> Document:
    """Return the document's parts on the open management routes: info, tags, paths, components."""
    return {
        "info": {"title": "nim", "version": API_VERSION},
        "tags": [{"name": management_openapi.TAG, "description": "What the service says about itself"}],
        "paths": _open(management_openapi.paths(), groups),
        "components": {"schemas": management_openapi.schemas()},
    }


def _open(paths: Mapping[str, Any], groups: Collection[str]) -> Document:
    """Return {path: item} of the paths that the gateway lets through for these groups."""
    return {path: item for path, item in paths.items() if let_through(path, groups)}


def _encoded(document: Document) -> bytes:
    """Return a document as compact JSON bytes."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
