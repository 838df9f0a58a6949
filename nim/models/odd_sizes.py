"""Sizes in a configuration that no model has: they count as unknown, and the user is told."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from nim.models.config import NEVER_ZERO, ModelConfig, as_whole
from nim.models.layers.kinds import MOST_LAYERS

# What names of sizes end in. Windows are no sizes: some files have -1 for none.
_SIZE = re.compile(r"(?<!window_)(size|heads|layers|dim|rank|experts|length|len|embeddings|positions)$")


def odd_sizes(config: ModelConfig) -> tuple[str, ...]:
    """Return a sentence for each size of the language part that is below what any model has, or absurd."""
    values = {**config.root.values, **config.text.values}
    return tuple(
        f"{name} is {value} in the model's configuration, which no model has: it counts as unknown, "
        "and the engine is likely to fail with it"
        for name, value in _odd(values)
    )


def _odd(values: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for name, value in values.items():
        number = as_whole(value) if _SIZE.search(name) else None
        if number is None:
            continue
        if number < (name in NEVER_ZERO) or (name == "num_hidden_layers" and number > MOST_LAYERS):
            yield name, number
