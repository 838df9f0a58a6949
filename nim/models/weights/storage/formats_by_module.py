"""Look up a module's storage format among those that the quantization method gave, by configuration alone."""

from collections.abc import Callable
from dataclasses import field

from nim.frozen_dataclass import frozen_dataclass
from nim.models.weights.storage.bits_and_scales import Storage, plain
from nim.models.weights.storage.formats import for_experts
from nim.models.weights.storage.match_module_names import ModuleList
from nim.models.weights.weight_matrices import Experts, Module, Vocabulary


@frozen_dataclass
class Formats:
    """The formats of a model's modules. None stands for `plain`, the format of weights not quantized."""

    plain: Storage
    linear: Storage | None = None
    experts: Storage | None = None
    head: Storage | None = None
    left_out: ModuleList = field(default_factory=ModuleList)
    by_name: Callable[[str], Storage | None] | None = None  # takes the place of `linear` and `experts`

    @property
    def differ_by_layer(self) -> bool:
        """Return whether modules of the same name may have another format in another layer."""
        return self.by_name is not None or self.left_out.names_layers

    def of(self, module: Module, layer: int | None = None) -> Storage:
        """Return the `Storage` of `module`, in layer `layer` if it has one; `plain` if unquantized."""
        bits = None if isinstance(module, Experts) else module.bits
        if bits is not None:
            return plain(bits)
        name = module.name if layer is None else f"layers.{layer}.{module.name}"
        return self._quantized(module, name) or self.plain

    def _quantized(self, module: Module, name: str) -> Storage | None:
        """Return the `Storage` of the module called `name`; None if it is not quantized."""
        if isinstance(module, Vocabulary) and (self.head is None or name != "lm_head"):
            return None
        if self.left_out.has(name):
            return None
        if self.by_name is not None:
            found = self.by_name(name)
            return for_experts(found) if found and isinstance(module, Experts) else found
        if isinstance(module, Vocabulary):
            return self.head
        return self.experts if isinstance(module, Experts) else self.linear
