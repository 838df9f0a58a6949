"""Paths of this machine that options name besides the model: a draft model, a tokenizer, adapters, files."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from nim.engine.arguments.argument_error_messages import Refusal
from nim.frozen_dataclass import frozen_dataclass
from nim.models.config.read_config_files import CONFIG, PARAMS
from nim.models.read_lora_adapters import is_of_this_machine
from nim.options.rules.rule_types import Said
from nim.options.rules.speculative_option_rules import draft_model
from nim.value_origins import Layer

_FILES = ("log_config_file",)
_MODELS = ("hf_config_path",)  # directories with a configuration
# Of these the engine starts without what is missing.
_OPTIONAL = ("allowed_local_media_path", "generation_config")


@frozen_dataclass
class MissingPath:
    """A path that the engine cannot use: the option that names it, what is wrong, and what to type."""

    what: str
    fault: str
    hint: str

    @property
    def refusal(self) -> Refusal:
        """Return the Refusal for this missing path."""
        return Refusal(message=f"cannot use {self.what}: {self.fault}", hint=self.hint)


def missing_paths(said: Said) -> Iterator[MissingPath]:
    """Yield a MissingPath for each path in options that is missing and that the engine needs."""
    options = (*_FILES, *_MODELS, *(() if said.get("skip_tokenizer_init") else ("tokenizer",)))
    for name in options:
        text = str(said.get(name) or "")
        if fault := _fault(text, model=name in _MODELS, file=name in _FILES):
            hint = f"{said.table.options[name].flag} and a path that is there, in the container"
            yield MissingPath(what=said.flag(name), fault=fault, hint=hint)
    draft, words = draft_model(said)
    if draft and (fault := _fault(draft, model=True, file=False)):
        hint = "a directory that is there, in the container, or a repository of the hub"
        yield MissingPath(what=f"the draft model '{draft}' of {words}", fault=fault, hint=hint)


def absent_paths(said: Said) -> Iterator[str]:
    """Yield a warning for each missing path in options without which the engine still starts."""
    for name in _OPTIONAL:
        value = said.config.get(name)
        if value and value.origin.layer is Layer.DERIVED:
            continue  # the service makes it when it starts
        if fault := _fault(str(said.get(name) or ""), model=False, file=False):
            yield f"{said.flag(name)}: {fault}"


def _fault(text: str, *, model: bool, file: bool) -> str | None:
    """Return what is wrong with a path, as text; None if it exists or is a repository's name."""
    if not text or "://" in text or not (file or is_of_this_machine(text)):
        return None
    with suppress(OSError, ValueError):
        path = Path(text)
        if not path.exists():
            return "there is no such file" if file else "there is no such directory"
        if model and path.is_dir() and not any((path / name).is_file() for name in (CONFIG, PARAMS)):
            return f"it has no {CONFIG}"
    return None
