"""All weights of a model, in the order of its layers, with the format of each."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from nim.models.config.model_config import ModelConfig
from nim.models.types import Quantization
from nim.models.weights.decoder_layers import decoder_layers, embedding, head, shares_embedding
from nim.models.weights.parts.family_extras import model_extras
from nim.models.weights.parts.read_required_sizes import UnknownSizeError
from nim.models.weights.parts.vision_and_audio_encoders import tower_modules
from nim.models.weights.pipeline_stages import stage_bounds
from nim.models.weights.storage.bits_and_scales import Storage
from nim.models.weights.storage.formats_by_module import Formats
from nim.models.weights.storage.quantization_methods import HOPPER, read_formats
from nim.models.weights.weight_matrices import Module, Ranks

# Families that build the embedding on every stage of a pipeline, and those that build the head, too.
_EMBEDDING_ON_EVERY_STAGE = frozenset({
    "lfm2", "lfm2_moe", "longcat_flash", "qwen3_5_moe_text", "qwen3_5_text",
})  # fmt: skip
_TABLES_ON_EVERY_STAGE = frozenset({
    "bloom", "chatglm", "dbrx", "falcon", "gemma", "gemma3_text", "gemma4_text", "gpt2", "gpt_oss", "gptj",
    "granitemoe", "granitemoehybrid", "granitemoeshared", "hy_v3", "internlm2", "jamba", "mamba", "minicpm",
    "minicpm3", "mixtral", "molmo", "molmo2", "muse_glimmer_text", "nemotron_h", "olmo_hybrid", "olmoe",
    "opt", "orion", "phimoe", "plamo3", "qwen2_moe", "qwen3_moe", "qwen3_next", "qwen3_omni_moe_text",
    "qwen3_vl_moe_text", "qwen4_exp_text", "stablelm",
})  # fmt: skip
_SYNONYMS = {"half": "float16", "float": "float32"}
# Modules alike count together.
Weights = Counter[tuple[Module, Storage]]


@dataclass(frozen=True, kw_only=True)
class ModelWeights:
    """The weights of a whole model."""

    towers: Weights  # every stage of a pipeline builds them
    front: Weights  # before the layers
    layers: tuple[Weights, ...]
    back: Weights  # behind the layers
    shared_embedding: Weights  # what the last stage of a pipeline holds once more
    on_every_stage: Weights  # what the other stages hold although they have no use for it

    @cached_property
    def merged(self) -> Weights:
        """Return what one pipeline stage would build, as a Counter: (module, storage) → alike modules."""
        merged = self.towers + self.front + self.back
        _add_layers(merged, self.layers)
        return merged

    def bytes(self, ranks: Ranks) -> int:
        """Return the bytes on the fullest rank; raise `CannotSplitError` if the weights do not divide."""
        if ranks.pipeline == 1:
            return _bytes(self.merged, ranks)
        return max(_bytes(stage, ranks) for stage in self._stages(ranks.pipeline))

    def _stages(self, count: int) -> Iterable[Weights]:
        """Yield a Counter of the weights of each of `count` pipeline stages."""
        bounds = stage_bounds(len(self.layers), count)
        for number, (first, last) in enumerate(bounds):
            stage: Weights = Counter(self.towers)
            _add_layers(stage, self.layers[first:last])
            if number == 0:
                stage.update(self.front)
            if number == count - 1:
                stage.update(self.back + self.shared_embedding)
            stage.update(self.on_every_stage if number < count - 1 else ())
            yield stage


def read_weights(
    config: ModelConfig,
    quantization: Quantization | None,
    *,
    quantize: str | None = None,
    dtype: str | None = None,
    capability: tuple[int, int] = HOPPER,
) -> ModelWeights | None:
    """Return the `ModelWeights` by configuration alone; None if a size or the quantization is unknown.

    `quantize` and `dtype` are the engine's `--quantization` and `--dtype`, `capability` that of the GPU.
    """
    served = served_dtype(config, dtype)
    formats = read_formats(config, quantization, quantize=quantize, dtype=served, capability=capability)
    try:
        return None if formats is None else _weights(config, formats)
    except UnknownSizeError:
        return None


def stored_dtype(config: ModelConfig) -> str:
    """Return the data type's name in the configuration; "" if it states none."""
    words = (section.first_string("dtype", "torch_dtype") for section in (config.root, config.text))
    word = next((word.removeprefix("torch.") for word in words if word), "")
    return _SYNONYMS.get(word, word)


def served_dtype(config: ModelConfig, dtype: str | None = None) -> str:
    """Return the type of unquantized weights as served: `dtype` if set, else the stored (32 as 16 bits)."""
    if dtype is not None and dtype != "auto":
        return _SYNONYMS.get(dtype, dtype)
    stored = stored_dtype(config)
    return "bfloat16" if stored == "float32" else stored


def _weights(config: ModelConfig, formats: Formats) -> ModelWeights:
    """Return the `ModelWeights` of a configuration; raise UnknownSizeError if a size is missing."""
    table, last = embedding(config), head(config)
    everywhere = config.text.model_type in _TABLES_ON_EVERY_STAGE
    again = everywhere or config.text.model_type in _EMBEDDING_ON_EVERY_STAGE or shares_embedding(config)
    return ModelWeights(
        towers=Counter((tower, formats.plain) for tower in tower_modules(config)),
        front=_counted(formats, (table, *model_extras(config))),
        layers=_layers(config, formats),
        back=_counted(formats, (last,) if last else ()),
        shared_embedding=_counted(formats, (table,) if again else ()),
        on_every_stage=_counted(formats, (last,) if everywhere and last else ()),
    )


def _layers(config: ModelConfig, formats: Formats) -> tuple[Weights, ...]:
    """Return a tuple, a Counter of weights for each layer; equal layers share one object."""
    alike: dict[tuple[int, int | None], Weights] = {}
    found = []
    for index, modules in enumerate(decoder_layers(config)):
        key = (id(modules), index if formats.differ_by_layer else None)
        if key not in alike:
            alike[key] = _counted(formats, modules, index)
        found.append(alike[key])
    return tuple(found)


def _counted(formats: Formats, modules: Iterable[Module], layer: int | None = None) -> Weights:
    """Return a Counter of (module, its storage format) for these modules of one layer."""
    return Counter((module, formats.of(module, layer)) for module in modules)


def _add_layers(weights: Weights, layers: Iterable[Weights]) -> None:
    """Add the layers' weights to the Counter `weights`, in place."""
    times = Counter(map(id, layers))
    for layer in {id(layer): layer for layer in layers}.values():
        for stored, count in layer.items():
            weights[stored] += count * times[id(layer)]


def _bytes(weights: Weights, ranks: Ranks) -> int:
    """Return the bytes of these weights on one rank; raise CannotSplitError if they do not divide."""
    return sum(count * module.bytes(storage, ranks) for (module, storage), count in weights.items())
