"""Code that comes with a model runs only where a person or a manifest says so."""

from collections.abc import Mapping

from nim.value_origins import Layer, Value

TRUST = "trust_remote_code"
# Options with which the engine imports Python code: the model's own, a file, a class by its name.
CODE = (
    TRUST,
    "io_processor_plugin",
    "logits_processors",
    "middleware",
    "model_class_overrides",
    "reasoning_parser_plugin",
    "scheduler_cls",
    "tool_parser_plugin",
    "worker_cls",
    "worker_extension_cls",
)


def without_untrusted_code(config: Mapping[str, Value]) -> tuple[dict[str, Value], tuple[str, ...]]:
    """Return (config without code options that only the model's own file sets, one warning for each).

    A `runtime_config.json` comes with the weights, so it may not vouch for other files that do.
    """
    trust = _said_by_others(config[TRUST]) if TRUST in config else None
    if trust and trust.value:
        return {**config, TRUST: trust}, ()
    kept, warnings = dict(config), []
    for name in CODE:
        value = config.get(name)
        if value and value.value and value.origin.layer is Layer.RUNTIME_CONFIG:
            del kept[name]
            if other := _said_by_others(value):
                kept[name] = other
            flag, place = f"--{name.replace('_', '-')}", value.origin.place
            why = "it runs code that came with the model; NIM_TRUST_CUSTOM_CODE=1 allows it"
            warnings.append(f"{flag} of {place} is left out: {why}")
    return kept, tuple(warnings)


def _said_by_others(value: Value) -> Value | None:
    """Return the strongest Value not from runtime_config.json; None if there is none."""
    layers = (value, *value.previous)
    at = next((n for n, one in enumerate(layers) if one.origin.layer is not Layer.RUNTIME_CONFIG), None)
    if at is None:
        return None
    return Value(value=layers[at].value, origin=layers[at].origin, previous=layers[at + 1 :])
