"""Names of modules in checkpoints, and lists of those that are left unquantized."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

# What the engine merges into one module, by the modules of the checkpoint.
_MERGED = {
    "qkv_proj": ("q_proj", "k_proj", "v_proj"),
    "gate_up_proj": ("gate_proj", "up_proj"),
    "fused_qkv_a_proj": ("q_a_proj", "kv_a_proj_with_mqa"),
    "fused_qkv_a_g_proj": ("q_a_proj", "kv_a_proj_with_mqa", "g_proj"),
    "fused_wqa_wkv": ("wq_a", "wkv"),
    "in_proj_qkvz": ("in_proj_qkv", "in_proj_z"),
    "in_proj_ba": ("in_proj_b", "in_proj_a"),
    "wk_weights_proj": ("wk", "weights_proj"),
}  # fmt: skip
# Paths that lead to the layers of the language part, in checkpoints and in the engine.
ROOTS = ("model.", "language_model.model.", "model.language_model.", "backbone.", "language_model.", "")
_ROOT = re.compile(r"^(?:model\.|language_model\.|backbone\.|transformer\.)+(?=.)")
_LAYER = re.compile(r"^layers\.(\d+)(\.|$)")


def checkpoint_names(name: str) -> tuple[str, ...]:
    """Return the checkpoint's names for module `name`: several where the engine merges them."""
    path, _, last = name.rpartition(".")
    merged = _MERGED.get(last)
    if merged is None:
        return (name,)
    return (name, *(f"{path}.{each}" if path else each for each in merged))


@dataclass(slots=True)
class ModuleList:
    """Names, wildcards and `re:` patterns of modules. `contained` lists match any name they are part of."""

    contained: bool = False
    exact: set[str] = field(default_factory=set)
    general: list[str] = field(default_factory=list)  # without a layer's number
    by_layer: dict[str, list[str]] = field(default_factory=dict)
    regexes: list[re.Pattern[str]] = field(default_factory=list)

    @property
    def names_layers(self) -> bool:
        """Return whether it may hold for some layers only."""
        return bool(self.by_layer or self.regexes or any("layers" in pattern for pattern in self.general))

    def has(self, name: str) -> bool:
        """Return whether the list has module `name` (`layers.3.mlp.experts`), or an expert below it."""
        names = checkpoint_names(name)
        if not self.exact.isdisjoint(names):
            return True
        if any(regex.match(root + each) for regex in self.regexes for each in names for root in ROOTS[:3]):
            return True
        return any(self._matches(pattern, each) for each in names for pattern in self._patterns(name))

    def _patterns(self, name: str) -> Iterator[str]:
        """Yield the patterns that may match a module."""
        yield from self.general
        if layer := _LAYER.match(name):
            yield from self.by_layer.get(layer[1], ())

    def _matches(self, pattern: str, name: str) -> bool:
        """Return whether a pattern matches a module's name."""
        if "*" in pattern:
            return fnmatchcase(name, pattern) or any(fnmatchcase(root + name, pattern) for root in ROOTS[:3])
        if name.startswith(pattern) and name[len(pattern) :][:1] in ("", "."):
            return True
        if name.endswith("experts") and pattern.startswith(f"{name}."):
            return True
        return self.contained and pattern in name


def module_list(patterns: Iterable[str], *, contained: bool = False) -> ModuleList:
    """Return the list of these patterns, whichever root their paths have."""
    listed = ModuleList(contained=contained)
    for pattern in patterns:
        if pattern.startswith("re:"):
            _add_regex(listed, pattern[3:])
        else:
            _add(listed, _ROOT.sub("", pattern))
    return listed


def _add_regex(listed: ModuleList, pattern: str) -> None:
    """Add a regular expression to the list, unless it is invalid."""
    with suppress(re.error):  # the engine will say so
        listed.regexes.append(re.compile(pattern))


def _add(listed: ModuleList, pattern: str) -> None:
    """Add a name or wildcard to the list."""
    listed.exact.add(pattern)
    if pattern.endswith("*") and pattern[-2:] != ".*":
        pattern = pattern[:-1]  # ModelOpt: the module and all below it
        listed.exact.add(pattern)
    layer = _LAYER.match(pattern)
    if layer is None:
        listed.general.append(pattern)
        return
    listed.by_layer.setdefault(layer[1], []).append(pattern)
    if listed.contained and not layer[2]:  # `layers.1` is part of `layers.12`, too
        for digit in range(10):
            listed.by_layer.setdefault(f"{layer[1]}{digit}", []).append(pattern)
