"""Read a model's JSON configuration under the names of the engine's classes, with their defaults."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import Any

from nim.engine.hf_config_defaults import UNKNOWN, ConfigClass, config_class, default_architecture
from nim.frozen_dataclass import frozen_dataclass
from nim.log_format import visible

# Names that old files have, and the classes turn into others where they read a file.
_OLD_NAMES = {"hidden_size": "n_embed"}
# Names of a family that its class does not know and the engine copies.
_COPIED_NAMES = {
    "nomic_bert": {"hidden_size": "n_embd", "num_hidden_layers": "n_layer", "intermediate_size": "n_inner"}
}
# Of files that have no model type, the engine takes these by their architecture.
_MODEL_TYPES = {"LongcatFlashForCausalLM": "longcat_flash", "LongcatFlashNgramForCausalLM": "longcat_flash"}
NEVER_ZERO = frozenset({
    "head_dim", "hidden_size", "max_position_embeddings", "max_seq_len", "max_sequence_length",
    "model_max_length", "n_positions", "num_attention_heads", "num_hidden_layers", "seq_length", "vocab_size",
})  # fmt: skip
"""Sizes that are positive in every model."""
# Names for the language part in configurations whose class neither the engine nor transformers has.
_TEXT_PARTS = ("text_config", "llm_config", "language_config", "thinker_config", "language_model", "decoder")


@frozen_dataclass
class Section:
    """One level of a configuration. A value that the JSON leaves out is its class's default.

    Names are those of the engine (`num_attention_heads`), whichever the JSON has (`n_head`). All reading
    methods take several names and answer for the first that has a value of the kind asked for, else None.
    """

    values: Mapping[str, Any]
    model_type: str | None = None
    known: ConfigClass = field(default_factory=ConfigClass)

    def get(self, name: str) -> Any:
        """Return the value of a key (under any of its known names), else its class's default, else None."""
        own = self.known.names.get(name, name)
        copied = _COPIED_NAMES.get(self.model_type or "", {}).get(name, name)
        for key in (copied, own, name, _OLD_NAMES.get(name, name)):
            if key in self.values:
                return self.values[key]
        return self.known.defaults.get(own, self.known.defaults.get(name))

    def has(self, name: str) -> bool:
        """Return whether the JSON or the class has this key, even with a null value."""
        own = self.known.names.get(name, name)
        return own in self.values or name in self.values or own in self.known.defaults

    def first_integer(self, *names: str) -> int | None:
        """Return the first of these keys' values that is a whole number from 0 (not a boolean), else None.

        Negative numbers have no meaning for the keys read here; neither has 0 for those in `NEVER_ZERO`.
        """
        return next((found for name in names if (found := self._size(name)) is not None), None)

    def _size(self, name: str) -> int | None:
        """Return the key's value if it is a whole number from 0 (above 0 for `NEVER_ZERO`); else None."""
        found = as_size(self.get(name))
        return None if found == 0 and name in NEVER_ZERO else found

    def number(self, *names: str) -> float | None:
        """Return the first of these keys' values that is an int or float from 0, else None."""
        values = (self.get(name) for name in names)
        numbers = (v for v in values if isinstance(v, int | float) and not isinstance(v, bool))
        return next((v for v in numbers if v >= 0), None)

    def first_string(self, *names: str) -> str | None:
        """Return the first of these keys' values that is a non-empty string, see `as_string`, else None."""
        return next((found for name in names if (found := as_string(self.get(name)))), None)

    def flag(self, name: str) -> bool:
        """Return whether the value of a key is truthy; False if it is absent."""
        return bool(self.get(name))

    def first_list(self, *names: str) -> tuple[Any, ...] | None:
        """Return the first of these keys' values that is a non-empty list, as a tuple; else None."""
        return next((tuple(v) for name in names if isinstance(v := self.get(name), list) and v), None)

    def mapping(self, *names: str) -> Mapping[str, Any]:
        """Return the first of these keys' values that is a JSON object, else {}."""
        return next((v for name in names if isinstance(v := self.get(name), Mapping)), {})

    def part(self, name: str) -> "Section":
        """Return the nested configuration `name` as a `Section`; one without values if it is absent."""
        values = self.values.get(name)
        given = values if isinstance(values, Mapping) else {}
        kind = self.known.parts.get(name)
        if kind is None or name in self.known.open_parts:
            kind = as_string(given.get("model_type")) or kind
        return Section(values=given, model_type=kind, known=config_class(kind))


@frozen_dataclass
class ModelConfig:
    """A model's configuration. Reading methods answer for its language part, `root` for its top level."""

    root: Section
    text: Section
    hf_quant_config: Mapping[str, Any] = field(default_factory=dict)
    tokenizer_config: Mapping[str, Any] = field(default_factory=dict)
    sentence_config: Mapping[str, Any] = field(default_factory=dict)  # of sentence-transformers
    pools: bool = False  # sentence-transformers puts a pooling module behind the model

    @property
    def architectures(self) -> tuple[str, ...]:
        """Return the architecture names; if none is stated, the engine's default for the model type or ()."""
        named = tuple(
            found for name in self.root.first_list("architectures") or () if (found := as_string(name))
        )
        assumed = None if named else default_architecture(self.model_type)
        return (assumed,) if assumed else named

    @property
    def model_type(self) -> str | None:
        """Return the model type of the top level; None if there is none."""
        return self.root.model_type

    @property
    def is_composite(self) -> bool:
        """Return whether the language part is nested in the configuration, not its top level."""
        return self.text is not self.root

    def get(self, name: str) -> Any:
        """Return the value of a key of the language part, else its default, else None."""
        return self.text.get(name)

    def has(self, name: str) -> bool:
        """Return whether the language part's JSON or class has this key, even with a null value."""
        return self.text.has(name)

    def first_integer(self, *names: str) -> int | None:
        """Return the first whole number from 0 among these keys of the language part, else None."""
        return self.text.first_integer(*names)

    def number(self, *names: str) -> float | None:
        """Return the first int or float from 0 among these keys of the language part, else None."""
        return self.text.number(*names)

    def first_string(self, *names: str) -> str | None:
        """Return the first non-empty string among these keys of the language part, else None."""
        return self.text.first_string(*names)

    def flag(self, name: str) -> bool:
        """Return whether a key's value in the language part is truthy; False if it is absent."""
        return self.text.flag(name)

    def first_list(self, *names: str) -> tuple[Any, ...] | None:
        """Return the first non-empty list among these keys of the language part, as a tuple; else None."""
        return self.text.first_list(*names)

    def mapping(self, *names: str) -> Mapping[str, Any]:
        """Return the first JSON object among these keys of the language part, else {}."""
        return self.text.mapping(*names)


def model_config(
    config: Mapping[str, Any],
    *,
    hf_quant_config: Mapping[str, Any] | None = None,
    tokenizer_config: Mapping[str, Any] | None = None,
    sentence_config: Mapping[str, Any] | None = None,
    pools: bool = False,
    classless: bool = False,
) -> ModelConfig:
    """Return the `ModelConfig` of these parsed files: `config.json`, and the others where there are any.

    `params.json` of Mistral goes through `convert_mistral_params` first, and is `classless`: the engine reads
    it without a class of its model type, so that nothing has a default.
    """
    named = config.get("architectures")
    first = named[0] if isinstance(named, list) and named else None
    kind = as_string(config.get("model_type")) or _MODEL_TYPES.get(str(first))
    root = Section(values=config, model_type=kind, known=UNKNOWN if classless else config_class(kind))
    return ModelConfig(
        root=root,
        text=_text_of(root),
        hf_quant_config=hf_quant_config or {},
        tokenizer_config=tokenizer_config or {},
        sentence_config=sentence_config or {},
        pools=pools,
    )


def as_integer(value: object) -> int | None:
    """Return `value` as an int if it is a whole number, also one written as 1e6; else None."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def as_size(value: object) -> int | None:
    """Return `value` as an int if it is a whole number from 0; else None."""
    found = as_integer(value)
    return None if found is None or found < 0 else found


def as_string(value: object) -> str | None:
    """Return `value` with control characters escaped if it is a non-empty string; else None."""
    return visible(value) if isinstance(value, str) and value else None


def _text_of(root: Section) -> Section:
    """Return the language part as a `Section`; the top level if no part is nested."""
    section = root
    for name in _text_path(root):
        inner = section.part(name)
        section = inner if inner.values else replace(inner, values=_renamed_part(section.values))
    return section


def _renamed_part(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the language part's JSON object under any of its known names, else `values` itself."""
    inner = next((values[name] for name in _TEXT_PARTS if isinstance(values.get(name), Mapping)), None)
    return inner or values


def _text_path(root: Section) -> Sequence[str]:
    """Return the keys that lead to the language part; empty if it is the top level."""
    if root.known.text is not None:
        return root.known.text
    return tuple(_guessed_path(root.values))


def _guessed_path(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys, outermost first, that lead to the innermost part like a language model; maybe none."""
    for name in _TEXT_PARTS:
        inner = values.get(name)
        if isinstance(inner, Mapping) and inner:
            yield name
            yield from _guessed_path(inner)
            return
