"""What is known of the model that a profile serves: its configuration, and what follows from it."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from nim.manifest.types import merged
from nim.models.config import ModelConfig, model_config
from nim.models.parameters.count import Weights, bytes_on_rank, read_weights
from nim.models.parameters.modules import Ranks
from nim.models.parameters.shares import CannotSplitError
from nim.models.parameters.sizes import UnknownSizeError
from nim.models.reading import read_model
from nim.models.types import ModelReading

MOST_RANKS = 16
USUAL_SIZES = (1, 2, 4, 8, 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """A model's configuration and its reading, which belong together.

    Reading the weights takes some milliseconds, and a choice asks for those of many ranks: they are kept.
    """

    config: ModelConfig
    reading: ModelReading
    _read: dict[tuple[str | None, str | None], Weights | None] = field(
        default_factory=dict, repr=False, compare=False
    )

    def rank_bytes(
        self, ranks: Ranks, *, quantize: str | None = None, dtype: str | None = None
    ) -> int | None:
        """Return the bytes of weights on the rank that holds most; None where they are not known.

        `quantize` is the engine's `--quantization`, `dtype` what it serves weights of 16 bits in.
        """
        weights = self._weights(quantize, dtype)
        with suppress(CannotSplitError, UnknownSizeError):
            return None if weights is None else bytes_on_rank(weights, ranks)
        return None

    def why_not(self, ranks: Ranks) -> str | None:
        """Return what cannot be split over so many ranks, such as `10 KV heads`; None where all can."""
        weights, heads, kv = self._weights(None, None), self.reading.heads, self.reading.kv_heads
        if heads and heads % ranks.tensor:
            return f"{heads} heads"
        if weights is None and kv and kv % ranks.tensor and ranks.tensor % kv:
            return f"{kv} KV heads"
        try:
            _ = None if weights is None else bytes_on_rank(weights, ranks)
        except CannotSplitError as error:
            return error.what
        except UnknownSizeError:
            return None
        return None

    def tensor_parallel_sizes(self, most: int = MOST_RANKS) -> tuple[int, ...] | None:
        """Return the sizes that the engine accepts; None where that is not known.

        Of a model whose weights are not known, those that its heads allow among the sizes that people use.
        """
        if self.reading.heads is None:
            return None
        sizes = USUAL_SIZES if self._weights(None, None) is None else range(1, most + 1)
        return tuple(size for size in sizes if size <= most and self.why_not(Ranks(tensor=size)) is None)

    def _weights(self, quantize: str | None, dtype: str | None) -> Weights | None:
        key = quantize, dtype if dtype == "float32" else None
        if key not in self._read:
            self._read[key] = None
            with suppress(UnknownSizeError, CannotSplitError):
                self._read[key] = read_weights(
                    self.config, self.reading.quantization, quantize=quantize, dtype=key[1]
                )
        return self._read[key]


def facts_of(config: ModelConfig, overrides: Mapping[str, Any] | None = None) -> ModelFacts:
    """Return the facts of a model, `overrides` (`--hf-overrides`) laid over its configuration first."""
    if overrides:
        changed = model_config(merged(config.root.values, overrides))
        config = replace(config, root=changed.root, text=changed.text)
    return ModelFacts(config=config, reading=read_model(config))
