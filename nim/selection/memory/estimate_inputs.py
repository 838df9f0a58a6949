"""The properties of a start that determine its memory."""

from nim.frozen_dataclass import frozen_dataclass
from nim.hardware.types import Gpu
from nim.manifest import Model, Profile
from nim.models.facts import ModelFacts
from nim.models.types import ModelReading
from nim.selection.effective_options import EngineOptions
from nim.selection.parallel_sizes import Parallel

_PLAIN = ("bf16", "fp16", "fp32", None)


@frozen_dataclass
class DraftModel:
    """A draft model in a directory of this machine: its weights, and its reading, None if unknown."""

    weights_bytes: int
    reading: ModelReading | None = None


@frozen_dataclass
class Start:
    """Inputs of a memory estimate: profile, options, parallel sizes, model facts, GPU.

    `model` is what the manifest says of it, `facts` what its own files say. `gpu` is the smallest of the
    group, None on a CPU. `dtype` is what the engine serves it in.
    `draft`: the draft model; its weights are split as the model's are, and its layers have caches, too.
    """

    profile: Profile
    options: EngineOptions
    parallel: Parallel
    model: Model | None = None
    facts: ModelFacts | None = None
    gpu: Gpu | None = None
    dtype: str = "bfloat16"
    draft: DraftModel | None = None

    @property
    def context(self) -> int | None:
        """Return the context length in tokens: the set one, else the model's; None if unknown."""
        derived = self.facts.reading.context if self.facts else None
        stated = self.model.max_model_len if self.model else None
        return self.options.context or (derived.tokens if derived else stated)

    @property
    def is_plain(self) -> bool:
        """Return True if the weights are stored unquantized, in 16 or 32 bits."""
        quantization = self.facts.reading.quantization if self.facts else None
        return quantization is None and self.profile.precision in _PLAIN

    @property
    def quantize(self) -> str | None:
        """Return the method by which the engine quantizes weights at load; None if it does not."""
        return self.options.text("quantization") if self.is_plain else None
