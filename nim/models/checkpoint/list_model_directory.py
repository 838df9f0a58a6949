"""List a model's directory and read its configuration."""

import json
import os
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from nim.errors import WeightsError
from nim.frozen_dataclass import frozen_dataclass
from nim.models.checkpoint.explanations.detect_unsupported_formats import partial_files
from nim.models.checkpoint.explanations.download_again_command import Origin
from nim.models.checkpoint.findings import error_of
from nim.models.checkpoint.read_weight_file import not_the_file, unreadable
from nim.models.checkpoint.select_weight_files import is_mistral
from nim.read_regular_file import read_bytes

CONFIG = "config.json"
# Mistral's own, which counts where its consolidated weights lie beside.
PARAMS = "params.json"
MODEL_FILES = (CONFIG, PARAMS)
# A mistaken path may be a whole disk: so far is looked, and no further.
MOST_FILES = 20_000
MOST_LEVELS = 3


@frozen_dataclass
class ModelFiles:
    """Names of files relative to `directory`. `broken` are links whose target is not there."""

    directory: Path
    names: frozenset[str]
    broken: frozenset[str]

    @property
    def config(self) -> str | None:
        """Return the name of the configuration that the engine reads; None if there is none."""
        if has_config(self.names):
            return CONFIG if CONFIG in self.names else PARAMS
        return None


def has_config(names: Collection[str]) -> bool:
    """Return whether these names include config.json, or params.json with Mistral's weights."""
    return CONFIG in names or (PARAMS in names and is_mistral(names))


def list_files(directory: Path) -> ModelFiles:
    """Return the `ModelFiles` in `directory`, at most three levels deep. WeightsError if it is unreadable."""
    try:
        with os.scandir(directory) as entries:
            next(entries, None)
    except OSError as error:
        raise error_of(unreadable(directory, error)) from None
    found = list(islice(_walk(directory), MOST_FILES))
    return ModelFiles(
        directory=directory,
        names=frozenset(name for name, exists in found if exists),
        broken=frozenset(name for name, exists in found if not exists),
    )


def unfinished(files: ModelFiles) -> tuple[str, ...]:
    """Return the names of partial download files, hidden ones of `hf download` included; () if none."""
    hidden = (files.directory / ".cache/huggingface/download").glob("**/*.incomplete")
    return (*partial_files(files.names), *(str(path.relative_to(files.directory)) for path in hidden))


def read_config(path: Path, origin: Origin) -> dict[str, Any]:
    """Return the JSON object in the file `path` as a dict. WeightsError if missing, damaged or no object."""
    try:
        content = read_bytes(path)
        if finding := not_the_file(path, content, origin):
            raise error_of(finding)
        values = json.loads(content.decode("utf-8"))
        if not isinstance(values, dict):
            raise ValueError("it is not a JSON object")
    except OSError as error:
        raise error_of(unreadable(path, error)) from None
    except ValueError as error:
        raise WeightsError(f"cannot read '{path}': {error}", hint=origin.again(path)) from None
    return values


def _walk(directory: Path) -> Iterator[tuple[str, bool]]:
    """Yield each file's relative name below a directory, and False if it is a broken link, else True."""
    for here, below, names in os.walk(directory):
        path = Path(here).relative_to(directory)
        deep = len(path.parts) + 1 >= MOST_LEVELS
        below[:] = [] if deep else sorted(name for name in below if not name.startswith("."))
        for name in names:
            file = f"{here}/{name}"
            yield (path / name).as_posix(), os.path.exists(file) or not os.path.islink(file)  # noqa: PTH110, PTH114
