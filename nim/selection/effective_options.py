"""Engine options of a start with one profile: the user's override the profile's."""

import json
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from nim.frozen_dataclass import frozen_dataclass
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


@frozen_dataclass
class EngineOptions:
    """Engine options by name (`max_model_len`), and the engine's environment variables.

    Reading methods return None for an option that is not set, and for a value of another kind.
    """

    values: Mapping[str, Value] = field(default_factory=dict)

    def get(self, name: str) -> Any:
        """Return the option's value; None if it is not set."""
        value = self.values.get(name)
        return None if value is None else value.value

    def integer(self, name: str) -> int | None:
        """Return the option's value if it is a whole number above 0; None otherwise."""
        value = self.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None

    def number(self, name: str) -> float | None:
        """Return the option's value as float if it is a number above 0; None otherwise."""
        value = self.get(name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return float(value) if is_number and value > 0 else None

    def text(self, name: str) -> str | None:
        """Return the option's value if it is a string other than "" and "auto"; None otherwise."""
        value = self.get(name)
        return value if isinstance(value, str) and value not in ("", "auto") else None

    def flag(self, name: str) -> bool:
        """Return True if the option or variable is on: true, "1" or "true"; False if not set."""
        value = self.get(name)
        return value.strip().lower() in ("1", "true") if isinstance(value, str) else bool(value)

    def place(self, name: str) -> str | None:
        """Return where the option was set, as text: a variable, file or flag; None if it is not."""
        value = self.values.get(name)
        return None if value is None else value.origin.place

    def is_written(self, name: str) -> bool:
        """Return True if the user set the option; False if only the profile did, or nobody."""
        value = self.values.get(name)
        return value is not None and value.origin.layer > Layer.PROFILE

    def to_set(self, name: str, value: object) -> str:
        """Return what to type to change an option: `NIM_X=value`, or `--x value`."""
        old = self.values.get(name)
        layer = old.origin.layer if old else Layer.DEFAULT
        if name in VARIABLES and layer not in (Layer.PASSTHROUGH, Layer.CLI):
            return f"{VARIABLES[name]}={value}"
        return f"--{name.replace('_', '-')} {value}"

    @property
    def speculative_tokens(self) -> int:
        """Return num_speculative_tokens of --speculative-config; 0 if it is not set."""
        config = self.get("speculative_config")
        tokens = config.get("num_speculative_tokens") if isinstance(config, Mapping) else None
        return tokens if isinstance(tokens, int) else 0

    @property
    def context(self) -> int | None:
        """Return the set context length in tokens; None if it is not set or `auto`."""
        return self.integer("max_model_len")

    @property
    def fits_context(self) -> bool:
        """Return True if max_model_len is `auto` or -1: the engine takes what fits in memory."""
        return self.get("max_model_len") in AUTOMATIC_LENGTH


def options_of(profile: Profile, written: Mapping[str, Value]) -> EngineOptions:
    """Return the EngineOptions of a start with `profile`; the user's options override the profile's."""
    origin = Origin(layer=Layer.PROFILE, place=f"profile {profile.label}")
    own = {name: Value(value=value, origin=origin) for name, value in _own(profile).items()}
    return EngineOptions(values=own | dict(written))


def _own(profile: Profile) -> dict[str, Any]:
    """Return the profile's own options and variables as a dict: name with underscores → value."""
    args = _json_args(profile.tags.get(JSON_ARGS_TAG, "")) | dict(profile.engine.args)
    return {name.replace("-", "_"): value for name, value in args.items()} | dict(profile.engine.env)


def _json_args(text: str) -> dict[str, Any]:
    """Return the options in the tag nim_json_args as a dict; {} if it is not a JSON object."""
    try:
        values = json.loads(text or "{}")
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}
