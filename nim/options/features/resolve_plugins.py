"""Resolve the classes of this project that vLLM loads, by its flag --middleware."""

import json
from collections.abc import Mapping

from nim.manifest.types import Model
from nim.models.config.detect_task_and_modalities import modalities
from nim.models.facts import ModelFacts
from nim.options.derived_options import HostFacts
from nim.options.resolve_api_keys import KEY_VARIABLE
from nim.plan import ASSETS_DIR
from nim.settings import Settings
from nim.value_origins import Layer, Origin, Value

CONNECTOR = "VLLM_MEDIA_CONNECTOR"
PUBLIC_CONNECTOR, PUBLIC_MEDIA = "nim-public", "nim.vllm_plugins.public_media.PublicMedia"
CATALOG_RULES, CATALOG = "NIM_CATALOG_RULES", "nim.vllm_plugins.catalog_requests.asgi_middleware.Catalog"
SIZE_VARIABLE = "NIM_MAX_STRUCTURED_OUTPUT_SIZE"
BOUNDED = "nim.vllm_plugins.bounded_structured_outputs.BoundedStructuredOutputs"
DEFAULT_BUDGET = 16_384
_OPTION = "middleware"
_WHY = "media is fetched from public addresses only"


def add_plugins(
    config: Mapping[str, Value],
    settings: Settings,
    model: Model | None,
    facts: ModelFacts | None,
    host: HostFacts,
) -> tuple[dict[str, Value], tuple[str, ...]]:
    """Return (config with the classes that vLLM is to load, warnings).

    `model` is what the manifest says of it, `facts` what its own files say; None if they are not known.
    """
    changed = dict(config)
    _bound_structured_outputs(changed, settings)
    if settings.catalog in ("on", "strict") or (settings.catalog is None and model and model.catalog):
        _add_catalog(changed, settings, host)
    return _guard_media(changed, settings, facts)


def _bound_structured_outputs(config: dict[str, Value], settings: Settings) -> None:
    """Have the engine refuse structured outputs that take long to compile."""
    name = settings.names_used.get("max_structured_output_size")
    layer = Layer.ENV if name else Layer.DEFAULT
    origin = Origin(layer=layer, place=name or "nim: bounds of one request")
    config[SIZE_VARIABLE] = Value(value=settings.max_structured_output_size, origin=origin)
    if settings.max_structured_output_size.strip("0kmg"):
        _load(config, BOUNDED, origin.place)


def _add_catalog(config: dict[str, Value], settings: Settings, host: HostFacts) -> None:
    """Have requests taken as the catalog endpoint takes them, and files of the asset store opened."""
    why = "the manifest" if settings.catalog is None else settings.names_used["catalog"]
    assets = f"{host.run_dir}/{ASSETS_DIR}"
    if "allowed_local_media_path" not in config:
        _set(config, "allowed_local_media_path", assets, f"assets of requests ({why})")
    parser, key = config.get("reasoning_parser"), config.get(KEY_VARIABLE)
    rules = {
        "strict": settings.catalog == "strict",
        # Without a parser vLLM refuses every request that has a budget.
        "default_budget": DEFAULT_BUDGET if parser and parser.value else None,
        "assets": assets,
        "allowed": str(config["allowed_local_media_path"].value),
        "trusts_platform": settings.catalog_trust_nvcf,
        "has_key": bool(key and key.value and not host.nginx_modules),
    }
    _set(config, CATALOG_RULES, json.dumps(rules), why)
    _load(config, CATALOG, why)


def _guard_media(
    changed: dict[str, Value], settings: Settings, facts: ModelFacts | None
) -> tuple[dict[str, Value], tuple[str, ...]]:
    """Return (config whose engine fetches media from public addresses only, warnings)."""
    config = changed
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
