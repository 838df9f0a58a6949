"""Facts of the model that a profile serves: configuration, weights and sizes."""

from collections.abc import Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from nim.frozen_dataclass import frozen_dataclass
from nim.manifest.types import merged
from nim.models.config.model_config import ModelConfig, model_config
from nim.models.types import LARGEST, ModelReading
from nim.models.weights.tensor_parallel_split import CannotSplitError
from nim.models.weights.weight_matrices import Ranks

if TYPE_CHECKING:
    from nim.models.weights.model_weights import ModelWeights

Capability = tuple[int, int]
TOLERANCE = 0.1
"""Files that differ more than this from what the configuration says are taken at their word."""


@frozen_dataclass
class ModelFacts:
    """A model's configuration and its reading, which belong together.

    Reading the weights takes some milliseconds, and a choice asks for those of many ranks: they are kept.
    """

    config: ModelConfig
    reading: ModelReading
    _read: "dict[tuple[str | None, str, Capability], ModelWeights | None]" = field(
        default_factory=dict, repr=False, compare=False
    )

    def rank_bytes(
        self,
        ranks: Ranks,
        *,
        quantize: str | None = None,
        dtype: str | None = None,
        capability: Capability | None = None,
        loaded: float | None = None,
    ) -> int | None:
        """Return the bytes of weights on the rank that holds most; None if unknown or not divisible.

        `quantize` and `dtype` are the engine's `--quantization` and `--dtype`, `capability` that of the GPU,
        whose kernels pad some weights. `loaded` are the bytes of all weights that it loads, in 16 bits where
        they are not quantized.
        """
        counted = _bytes(self._weights(quantize, dtype, capability), ranks)
        whole = _bytes(self._weights(), Ranks())
        if counted is None or not whole or loaded is None:
            return counted
        ratio = loaded / whole
        return counted if abs(ratio - 1) <= TOLERANCE else int(counted * ratio)

    def stages_fault(self, ranks: Ranks) -> str | None:
        """Return why the engine refuses the pipeline or expert parallelism (text); None if it does not."""
        if ranks.pipeline == 1 and not ranks.expert_parallel:
            return None
        from nim.models.accepted_parallel_sizes import stages_fault

        return stages_fault(self.config, ranks)

    def split_fault(self, ranks: Ranks, *, quantize: str | None = None) -> str | None:
        """Return why these ranks cannot share the model (text with accepted sizes); None if they can."""
        from nim.models.accepted_parallel_sizes import split_fault

        return split_fault(self.config, self.split_weights(quantize), ranks)

    def tensor_parallel_sizes(self, most: int = LARGEST) -> tuple[int, ...] | None:
        """Return a tuple of accepted tensor-parallel sizes up to `most`, ascending; None if unknown.

        Of a model whose weights are not known, those that its heads allow among the sizes that people use.
        """
        weights = self.split_weights()
        if weights is None and self.reading.heads is None:
            return None
        from nim.models.accepted_parallel_sizes import accepted_sizes

        return accepted_sizes(self.config, weights, most, usual_only=weights is None)

    def split_weights(self, quantize: str | None = None) -> "ModelWeights | None":
        """Return the `ModelWeights`, counted as unquantized if the format is unknown; None if a size is."""
        found = self._weights(quantize)
        if found is not None or self.reading.quantization is None:
            return found
        from nim.models.weights.model_weights import read_weights

        return read_weights(self.config, None)

    def _weights(
        self, quantize: str | None = None, dtype: str | None = None, capability: Capability | None = None
    ) -> "ModelWeights | None":
        """Return the `ModelWeights` for these options (kept after the first call); None if unknown."""
        # Imported here: most plans are made without a model's configuration, and need none of it.
        from nim.models.weights.model_weights import read_weights, served_dtype
        from nim.models.weights.storage.quantization_methods import HOPPER

        key = quantize, served_dtype(self.config, dtype), capability or HOPPER
        if key not in self._read:
            self._read[key] = read_weights(
                self.config, self.reading.quantization, quantize=quantize, dtype=key[1], capability=key[2]
            )
        return self._read[key]


def _bytes(weights: "ModelWeights | None", ranks: Ranks) -> int | None:
    """Return the bytes of weights on the fullest rank; None if unknown or not divisible."""
    try:
        return None if weights is None else weights.bytes(ranks)
    except CannotSplitError:
        return None


def facts_of(config: ModelConfig, overrides: Mapping[str, Any] | None = None) -> ModelFacts:
    """Return the `ModelFacts` of a configuration, `overrides` (`--hf-overrides`) merged over it first."""
    from nim.models.config.interpret_config import read_model

    if overrides:
        changed = model_config(merged(config.root.values, overrides))
        config = replace(config, root=changed.root, text=changed.text)
    return ModelFacts(config=config, reading=read_model(config))
