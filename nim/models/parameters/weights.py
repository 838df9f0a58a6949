"""All weights of a model, in the order of its layers, with the format of each."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from nim.models.config import ModelConfig
from nim.models.parameters.decoder import decoder_layers, embedding, head, shares_embedding
from nim.models.parameters.extras import model_extras
from nim.models.parameters.methods import read_formats
from nim.models.parameters.modules import Module, Ranks
from nim.models.parameters.quantized import Formats
from nim.models.parameters.sizes import UnknownSizeError
from nim.models.parameters.stages import stage_bounds
from nim.models.parameters.storage import Storage
from nim.models.parameters.towers import tower_modules
from nim.models.types import Quantization

_SYNONYMS = {"half": "float16", "float": "float32"}
# Modules alike count together.
Weights = Counter[tuple[Module, Storage]]


@dataclass(frozen=True, kw_only=True)
class ModelWeights:
    """The weights of a whole model."""

    front: Weights  # before the layers, towers included
    layers: tuple[Weights, ...]
    back: Weights  # behind the layers
    shared_embedding: Weights  # what the last stage of a pipeline holds once more

    @cached_property
    def merged(self) -> Weights:
        """Return all of them together."""
        merged = self.front + self.back
        for layer in self.layers:
            merged.update(layer)
        return merged

    def bytes(self, ranks: Ranks) -> int:
        """Return the bytes on the rank that holds most; raise `CannotSplitError` where they do not divide."""
        if ranks.pipeline == 1:
            return _bytes(self.merged, ranks)
        return max(_bytes(stage, ranks) for stage in self._stages(ranks.pipeline))

    def _stages(self, count: int) -> Iterable[Weights]:
        bounds = stage_bounds(len(self.layers), count)
        for number, (first, last) in enumerate(bounds):
            stage: Weights = Counter()
            for layer in self.layers[first:last]:
                stage.update(layer)
            if number == 0:
                stage.update(self.front)
            if number == count - 1:
                stage.update(self.back + self.shared_embedding)
            yield stage


def read_weights(
    config: ModelConfig,
    quantization: Quantization | None,
    *,
    quantize: str | None = None,
    dtype: str | None = None,
) -> ModelWeights | None:
    """Return the weights of a model; None where a size or its quantization is not known.

    `quantize` and `dtype` are the engine's `--quantization` and `--dtype`.
    """
    formats = read_formats(config, quantization, quantize=quantize, dtype=served_dtype(config, dtype))
    try:
        return None if formats is None else _weights(config, formats)
    except UnknownSizeError:
        return None


def stored_dtype(config: ModelConfig) -> str:
    """Return the data type that the configuration gives, or an empty text."""
    words = (section.word("dtype", "torch_dtype") for section in (config.root, config.text))
    word = next((word.removeprefix("torch.") for word in words if word), "")
    return _SYNONYMS.get(word, word)


def served_dtype(config: ModelConfig, dtype: str | None = None) -> str:
    """Return the data type that the engine serves unquantized weights in: 16 bits unless it is told."""
    if dtype is not None and dtype != "auto":
        return _SYNONYMS.get(dtype, dtype)
    stored = stored_dtype(config)
    return "bfloat16" if stored == "float32" else stored


def _weights(config: ModelConfig, formats: Formats) -> ModelWeights:
    table, last = embedding(config), head(config)
    front = _counted(formats, (table, *model_extras(config)))
    front.update((tower, formats.plain) for tower in tower_modules(config))
    return ModelWeights(
        front=front,
        layers=tuple(_counted(formats, layer) for layer in decoder_layers(config)),
        back=_counted(formats, (last,) if last else ()),
        shared_embedding=_counted(formats, (table,) if shares_embedding(config) else ()),
    )


def _counted(formats: Formats, modules: Iterable[Module]) -> Weights:
    return Counter((module, formats.of(module)) for module in modules)


def _bytes(weights: Weights, ranks: Ranks) -> int:
    return sum(count * module.bytes(storage, ranks) for (module, storage), count in weights.items())
