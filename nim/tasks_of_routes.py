"""The task that a model must do to answer on a route, and why another model does not answer there."""

from collections.abc import Collection
from enum import StrEnum


class Task(StrEnum):
    """What the engine does with a model. A model of the first may do the last as well."""

    GENERATE = "generate"
    POOLING = "pooling"
    SPEECH = "speech"


_POOLING = {"/v1/embeddings", "/v2/embed", "/pooling", "/classify", "/score", "/v1/score"}
_POOLING |= {"/rerank", "/v1/rerank", "/v2/rerank"}
_SPEECH = {"/v1/audio/transcriptions", "/v1/audio/translations", "/v1/realtime"}
_GENERATE = {"/generative_scoring", "/v1/systemone"}
_GENERATE_UNDER = ("/v1/chat/", "/v1/completions", "/v1/responses", "/v1/messages", "/inference/", "/cohere/")


def task_of(path: str) -> Task | None:
    """Return what a model must do to answer on a path of the route table; None if any model answers."""
    if path in _POOLING:
        return Task.POOLING
    if path in _SPEECH:
        return Task.SPEECH
    return Task.GENERATE if path in _GENERATE or path.startswith(_GENERATE_UNDER) else None


def why_not(path: str, tasks: Collection[str] | None) -> str | None:
    """Return why a model that does `tasks` answers nothing on a path, as text; None if it may answer.

    `tasks` is None where it is not known what the model does.
    """
    needed = task_of(path)
    if needed is None or tasks is None or needed in tasks:
        return None
    if needed is Task.SPEECH:
        return "this model transcribes no sound"
    if needed is Task.POOLING:
        return "this model neither embeds nor classifies nor scores texts"
    if Task.SPEECH in tasks:
        return "this model generates no text of its own: it transcribes, at /v1/audio/transcriptions"
    return "this model generates no text: it embeds, classifies or scores texts"
