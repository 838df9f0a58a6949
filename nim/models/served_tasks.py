"""What the engine does with a model: it generates, pools, or transcribes."""

from nim.engine.supported_names_catalog import Feature
from nim.models.config.detect_task_and_modalities import generates
from nim.models.facts import ModelFacts
from nim.models.supported_features import supports
from nim.tasks_of_routes import Task


def served_tasks(facts: ModelFacts | None, runner: object = None) -> tuple[str, ...] | None:
    """Return a tuple of Tasks of a model that is served by `--runner`; None if they are not known."""
    if runner == "pooling":
        return (Task.POOLING,)
    if facts is None:
        return None
    if supports(facts.config, Feature.TRANSCRIPTION_ONLY):
        return (Task.SPEECH,)
    speech = (Task.SPEECH,) if supports(facts.config, Feature.TRANSCRIPTION) is not False else ()
    if runner == "generate" or (made := generates(facts.config)):
        return (Task.GENERATE, *speech)
    return None if made is None else (Task.POOLING,)
