"""Which of a model's modules is stored in which format."""

from collections.abc import Callable
from dataclasses import dataclass, field

from nim.models.parameters.formats import for_experts
from nim.models.parameters.modules import Experts, Module, Vocabulary
from nim.models.parameters.names import ModuleList
from nim.models.parameters.storage import Storage, plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Formats:
    """The formats of a model's modules. None stands for `plain`, the format of weights not quantized."""

    plain: Storage
    linear: Storage | None = None
    experts: Storage | None = None
    head: Storage | None = None
    left_out: ModuleList = field(default_factory=ModuleList)
    by_name: Callable[[str], Storage | None] | None = None  # takes the place of `linear` and `experts`

    def of(self, module: Module) -> Storage:
        """Return the format of `module`, whose name begins at its layer: `layers.3.mlp.down_proj`."""
        bits = None if isinstance(module, Experts) else module.bits
        return plain(bits) if bits is not None else self._quantized(module) or self.plain

    def _quantized(self, module: Module) -> Storage | None:
        if isinstance(module, Vocabulary) and (self.head is None or module.name != "lm_head"):
            return None
        if self.left_out.has(module.name):
            return None
        if self.by_name is not None:
            found = self.by_name(module.name)
            return for_experts(found) if found and isinstance(module, Experts) else found
        if isinstance(module, Vocabulary):
            return self.head
        return self.experts if isinstance(module, Experts) else self.linear
