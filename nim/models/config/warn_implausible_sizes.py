"""Warn about sizes in a configuration that no model has; the reading treats them as unknown."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from nim.models.config.model_config import NEVER_ZERO, ModelConfig, as_integer
from nim.models.layers.layer_kinds import MOST_LAYERS

# What names of sizes end in. Windows are no sizes: some files have -1 for none.
_SIZE = re.compile(r"(?<!window_)(size|heads|layers|dim|rank|experts|length|len|embeddings|positions)$")


def odd_sizes(config: ModelConfig) -> tuple[str, ...]:
    """Return a warning text per size that is negative, wrongly 0 or absurdly large; () if there is none."""
    values = {**config.root.values, **config.text.values}
    return tuple(
        f"{name} is {value} in the model's configuration, which no model has: it is treated as unknown, "
        "and the engine will probably fail"
        for name, value in _odd(values)
    )


def _odd(values: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield (key, value) of each implausible size in these values."""
    for name, value in values.items():
        number = as_integer(value) if _SIZE.search(name) else None
        if number is None:
            continue
        if number < (name in NEVER_ZERO) or (name == "num_hidden_layers" and number > MOST_LAYERS):
            yield name, number
