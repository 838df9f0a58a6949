"""Resolve the classes of this project that vLLM loads, by its flag --middleware."""

from collections.abc import Mapping

from nim.models.config.detect_task_and_modalities import modalities
from nim.models.facts import ModelFacts
from nim.settings import Settings
from nim.value_origins import Layer, Origin, Value

CONNECTOR = "VLLM_MEDIA_CONNECTOR"
PUBLIC_CONNECTOR, PUBLIC_MEDIA = "nim-public", "nim.vllm_plugins.public_media.PublicMedia"
_OPTION = "middleware"
_WHY = "media is fetched from public addresses only"


def add_plugins(
    config: Mapping[str, Value], settings: Settings, facts: ModelFacts | None
) -> tuple[dict[str, Value], tuple[str, ...]]:
    """Return (config with the classes that vLLM is to load, warnings), given the model's facts if known."""
    changed = dict(config)
    if settings.allow_private_media or not _takes_media(config, facts):
        return changed, ()
    own = config.get(CONNECTOR)
    if own is not None and own.value != PUBLIC_CONNECTOR:
        said = f"{CONNECTOR} '{own.value}' ({own.origin.place}) decides which addresses media is fetched from"
        return changed, (f"{said}, private ones perhaps included",)
    _set(changed, CONNECTOR, PUBLIC_CONNECTOR, _WHY)
    _load(changed, PUBLIC_MEDIA, _WHY)
    return changed, ()


def guards_media(config: Mapping[str, Value]) -> bool:
    """Return whether the engine fetches from public addresses only."""
    return CONNECTOR in config and config[CONNECTOR].value == PUBLIC_CONNECTOR


def _takes_media(config: Mapping[str, Value], facts: ModelFacts | None) -> bool:
    """Return whether the model may take images, videos or audio; True if that is not known."""
    if "language_model_only" in config and config["language_model_only"].value:
        return False
    return facts is None or modalities(facts.config) != ("text",)


def _load(config: dict[str, Value], name: str, why: str) -> None:
    """Add a class to those that vLLM loads, before those of the user."""
    known = config.get(_OPTION)
    others = [each for each in (known.value if known else ()) or () if each != name]
    _set(config, _OPTION, [name, *others], why)


def _set(config: dict[str, Value], name: str, value: object, why: str) -> None:
    """Set an option that the launcher decides, keeping what it was before."""
    known = config.get(name)
    previous = (known, *known.previous) if known else ()
    config[name] = Value(value=value, origin=Origin(layer=Layer.DERIVED, place=why), previous=previous)
