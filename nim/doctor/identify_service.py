"""Identify the service behind an address and the models it serves."""

import json
from typing import Any

from nim.doctor.http_client import Answer, ConnectionCut, ServiceClient, unreachable
from nim.doctor.parse_service_address import Target
from nim.doctor.scrape_engine_metrics import find_metrics_path
from nim.errors import NimError, PreflightError, SettingsError, nearest
from nim.frozen_dataclass import frozen_dataclass

LIVE = "/v1/health/live"
MODELS = "/v1/models"
USUAL_CONTEXT = 4096


@frozen_dataclass
class Service:
    """The examined service. `ours`: this project's gateway, so that missing headers were lost on the way."""

    ours: bool
    server: str | None
    model: str
    context: int
    metrics_page: str | None

    def __str__(self) -> str:
        kind = "this service" if self.ours else "an OpenAI-compatible service"
        return f"{kind}, model {self.model}, outermost server {self.server or 'without a name'}"


async def identify(client: ServiceClient, model: str | None) -> Service:
    """Ask for models, health and metrics; return the Service, or raise Settings- or PreflightError."""
    answer = await _first(client)
    cards = _model_cards(answer)
    if cards is None:
        raise _no_service(client.target, answer)
    card = _chosen(client.target, cards, model)
    context = card.get("max_model_len")
    return Service(
        ours=await _is_ours(client, answer),
        server=answer.headers.get("Server"),
        model=card["id"],
        context=context if isinstance(context, int) else USUAL_CONTEXT,
        metrics_page=await find_metrics_path(client),
    )


async def _first(client: ServiceClient) -> Answer:
    """Return the Answer to the first request, GET /v1/models; PreflightError if none comes."""
    try:
        return await client.ask("GET", MODELS)
    except ConnectionCut as cut:
        raise unreachable(client.target, cut.__cause__) from None
    except TimeoutError as error:
        raise unreachable(client.target, error) from None


def _model_cards(answer: Answer) -> list[Any] | None:
    """Return the list of model cards (dicts) in an answer; None if it has none."""
    try:
        data = json.loads(answer.body)["data"] if answer.status == 200 else None
        return data if data and all(isinstance(card["id"], str) for card in data) else None
    except (ValueError, LookupError, TypeError):
        return None


def _chosen(target: Target, cards: list[Any], model: str | None) -> Any:
    """Return the card of the requested model, or the first card; SettingsError for an unknown model."""
    if model is None:
        return cards[0]
    names = [card["id"] for card in cards]
    if model not in names:
        near = nearest(model, names) or names
        message = f"cannot use --model '{model}': this service has no such model"
        raise SettingsError(
            message, allowed=near, hint=f"nim doctor stream --url {target.root} --model {near[0]}"
        )
    return cards[names.index(model)]


async def _is_ours(client: ServiceClient, models: Answer) -> bool:
    """Return whether this project's gateway answers: by a header, else by one request for its health."""
    if "engine;dur=" in models.headers.get("Server-Timing", ""):
        return True
    try:
        answer = await client.ask("GET", LIVE)
        return answer.status == 200 and json.loads(answer.body).get("object") == "health.response"
    except (ConnectionCut, TimeoutError, ValueError, AttributeError):
        return False


def _no_service(target: Target, answer: Answer) -> NimError:
    """Return the NimError that says why an answer is no list of models, by its status."""
    root = str(target.root).rstrip("/")
    message = f"cannot examine {root}: GET {MODELS} answered {answer}"
    moved = answer.headers.get("Location", "")
    match answer.status:
        case 401 | 403:
            about = "the key is not taken, or lost on the way" if target.key else "it asks for a key"
            return SettingsError(f"{message}: {about}", hint=f"VLLM_API_KEY=… nim doctor stream --url {root}")
        case 301 | 302 | 307 | 308 if moved:
            to = moved.removesuffix(MODELS)
            return SettingsError(f"{message}, to {moved}", hint=f"nim doctor stream --url {to}")
        case 502 | 503 | 504:
            return PreflightError(f"{message}: not ready", hint=f"curl -i {root}/v1/health/ready")
    return PreflightError(f"{message}: no OpenAI-compatible service", hint=f"curl -i {root}{MODELS}")
