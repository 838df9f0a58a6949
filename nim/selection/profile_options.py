"""The engine's options with one profile: those that the user wrote override those of the profile."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nim.manifest import Profile
from nim.value_origins import Layer, Origin, Value

JSON_ARGS_TAG = "nim_json_args"
VARIABLES = {
    "max_model_len": "NIM_MAX_MODEL_LEN",
    "tensor_parallel_size": "NIM_TENSOR_PARALLEL_SIZE",
    "pipeline_parallel_size": "NIM_PIPELINE_PARALLEL_SIZE",
    "gpu_memory_utilization": "NIM_KVCACHE_PERCENT",
}
AUTOMATIC_LENGTH = (-1, "auto")  # the engine takes the longest context that its memory holds


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """Options by name (`max_model_len`), and the engine's environment variables by theirs.

    Reading methods return None for an option that nobody set, and for a value of another kind.
    """

    values: Mapping[str, Value] = field(default_factory=dict)

    def get(self, name: str) -> Any:
        """Return the value as it was given."""
        value = self.values.get(name)
        return None if value is None else value.value

    def whole(self, name: str) -> int | None:
        """Return a whole number above 0."""
        value = self.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None

    def number(self, name: str) -> float | None:
        """Return a number above 0."""
        value = self.get(name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return float(value) if is_number and value > 0 else None

    def text(self, name: str) -> str | None:
        """Return a text that is neither empty nor `auto`, which asks for the default."""
        value = self.get(name)
        return value if isinstance(value, str) and value not in ("", "auto") else None

    def flag(self, name: str) -> bool:
        """Return whether this is on, an option or a variable."""
        value = self.get(name)
        return value.strip().lower() in ("1", "true") if isinstance(value, str) else bool(value)

    def place(self, name: str) -> str | None:
        """Return where the value was written."""
        value = self.values.get(name)
        return None if value is None else value.origin.place

    def is_written(self, name: str) -> bool:
        """Return whether the user set it, not the profile."""
        value = self.values.get(name)
        return value is not None and value.origin.layer > Layer.PROFILE

    def to_set(self, name: str, value: object) -> str:
        """Return what to type for another value: a variable, unless a flag that overrides it is set."""
        old = self.values.get(name)
        layer = old.origin.layer if old else Layer.DEFAULT
        if name in VARIABLES and layer not in (Layer.PASSTHROUGH, Layer.CLI):
            return f"{VARIABLES[name]}={value}"
        return f"--{name.replace('_', '-')} {value}"

    @property
    def speculative_tokens(self) -> int:
        """Return the tokens that are drafted for each step."""
        config = self.get("speculative_config")
        tokens = config.get("num_speculative_tokens") if isinstance(config, Mapping) else None
        return tokens if isinstance(tokens, int) else 0

    @property
    def context(self) -> int | None:
        """Return the context asked for in tokens."""
        return self.whole("max_model_len")

    @property
    def fits_context(self) -> bool:
        """Return whether the engine is to take the longest context that its memory holds."""
        return self.get("max_model_len") in AUTOMATIC_LENGTH


def options_of(profile: Profile, written: Mapping[str, Value]) -> EngineOptions:
    """Return the options of a start with `profile`; `written` are those of the user, and win."""
    origin = Origin(layer=Layer.PROFILE, place=f"profile {profile.label}")
    own = {name: Value(value=value, origin=origin) for name, value in _own(profile).items()}
    return EngineOptions(values=own | dict(written))


def _own(profile: Profile) -> dict[str, Any]:
    args = _json_args(profile.tags.get(JSON_ARGS_TAG, "")) | dict(profile.engine.args)
    return {name.replace("-", "_"): value for name, value in args.items()} | dict(profile.engine.env)


def _json_args(text: str) -> dict[str, Any]:
    """Return the options of the tag; none where it cannot be read, which the layers refuse."""
    try:
        values = json.loads(text or "{}")
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}
