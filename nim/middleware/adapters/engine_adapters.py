"""The engine's own routes for adapters, over its private socket."""

import json
from http import HTTPStatus

from aiohttp import ClientError, ClientSession, ClientTimeout

from nim.middleware.upstream_clients import fetch
from nim.routes import ADAPTER_ROUTES, MODELS

LOAD, UNLOAD = ADAPTER_ROUTES
_LIST_SECONDS = 10.0


class EngineGone(Exception):
    """The engine does not take connections, or closed one before it answered."""


async def list_models(engine: ClientSession) -> dict[str, str]:
    """Return {id: root} of the engine's models and adapters; EngineGone if it does not answer."""
    body = await fetch(engine, MODELS, _LIST_SECONDS)
    try:
        return {entry["id"]: entry["root"] or "" for entry in json.loads(body or b"")["data"]}
    except (ValueError, KeyError, TypeError):
        raise EngineGone from None


async def load(engine: ClientSession, name: str, path: str, seconds: float) -> str | None:
    """Load an adapter; return why the engine refused it, None if it did not. EngineGone."""
    return await _post(engine, LOAD, {"lora_name": name, "lora_path": path}, seconds)


async def unload(engine: ClientSession, name: str, seconds: float) -> str | None:
    """Unload an adapter; return why the engine refused that, None if it did not. EngineGone."""
    return await _post(engine, UNLOAD, {"lora_name": name}, seconds)


async def _post(engine: ClientSession, path: str, body: dict[str, str], seconds: float) -> str | None:
    """Send a request to the engine, return the message of its error, None for 200. EngineGone."""
    try:
        async with engine.post(path, json=body, timeout=ClientTimeout(total=seconds)) as answer:
            text = await answer.text()
            return None if answer.status == HTTPStatus.OK else f"the engine refused it: {_message(text)}"
    except TimeoutError:
        return f"the engine did not answer within {seconds:g} s (NIM_PEFT_API_TIMEOUT_SECS)"
    except (ClientError, OSError):
        raise EngineGone from None


def _message(text: str) -> str:
    """Return the message of an error in OpenAI's shape; the text itself if it is none."""
    try:
        return str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip() or "without a word"
