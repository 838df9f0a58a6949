"""Which routes a model answers, by what it does."""

import pytest

from nim.routes import ROUTES, Group, Target
from nim.tasks_of_routes import Task, task_of, why_not


def test_every_route_of_inference_has_a_task_or_is_for_any_model() -> None:
    paths = {r.path for r in ROUTES if r.group is Group.INFERENCE and r.target is Target.ENGINE}
    any_model = {path for path in paths if task_of(path) is None}
    assert any_model == {"/v1/models", "/tokenize", "/detokenize", "/tokenizer_info"}
    pooling = {path for path in paths if task_of(path) is Task.POOLING}
    assert pooling == {r.path for r in ROUTES if r.note == "the engine has it for pooling models"}
    speech = {path for path in paths if task_of(path) is Task.SPEECH}
    assert speech == {r.path for r in ROUTES if r.note == "the engine has it for speech models"}


@pytest.mark.parametrize(
    ("path", "tasks", "words"),
    [
        ("/v1/chat/completions", ("pooling",), "generates no text: it embeds"),
        ("/v1/messages", ("speech",), "it transcribes, at /v1/audio/transcriptions"),
        ("/v1/embeddings", ("generate",), "neither embeds nor classifies"),
        ("/v1/audio/transcriptions", ("generate",), "transcribes no sound"),
    ],
)
def test_a_route_for_another_kind_of_model_says_what_this_one_does(
    path: str, tasks: tuple[str, ...], words: str
) -> None:
    assert words in str(why_not(path, tasks))


def test_what_is_not_known_is_open() -> None:
    assert why_not("/v1/embeddings", None) is None
    assert why_not("/v1/audio/translations", ("generate", "speech")) is None
    assert why_not("/v1/models", ("pooling",)) is None
