"""Choose the files of a hub repository to fetch, and check that they make a model the engine loads."""

from collections.abc import Collection, Sequence

from nim.errors import WeightsError
from nim.models.checkpoint.explanations.detect_unsupported_formats import find_format
from nim.models.checkpoint.explanations.explain_adapter import ADAPTER_CONFIG
from nim.models.checkpoint.list_model_directory import CONFIG, has_config
from nim.models.checkpoint.select_weight_files import INDEX, engine_files, needs_weights, weight_files
from nim.models.read_lora_adapters import WEIGHTS as ADAPTER_WEIGHTS


def files_to_fetch(
    source: str,
    names: Collection[str],
    load_format: str | None,
    ignored: Sequence[str],
    index: Collection[str],
) -> tuple[str, ...]:
    """Return the sorted names of the files of `source` to fetch. WeightsError if they make no model.

    `index` are the weights that its index names. Without a load format no model is wanted.
    """
    if absent := sorted(set(index) - set(names)):
        raise WeightsError(
            f"cannot use {source}: its {INDEX} names {absent[0]}, which is not there",
            hint="NIM_MODEL_PATH=… a whole copy of the model",
        )
    if needs_weights(load_format):
        _refuse_other(source, names, has_weights=bool(weight_files(names, load_format, ignored, index)))
    return tuple(engine_files(names, load_format, ignored, index))


def adapter_files(source: str, names: Collection[str]) -> tuple[str, ...]:
    """Return the sorted names of the adapters' files in `source` or in directories of it.

    WeightsError if there is no adapter: a model was meant, or another directory.
    """
    directories = {name.rpartition("/")[0] for name in names if name.rpartition("/")[2] == ADAPTER_CONFIG}
    chosen = [name for name in names if _is_of_adapter(name, directories)]
    if not chosen:
        raise WeightsError(
            f"cannot use {source}: none of its {len(names)} files is an {ADAPTER_CONFIG}, "
            "in itself or in its directories",
            hint="NIM_PEFT_SOURCE=… the directory of an adapter, or one with a directory for each adapter",
        )
    return tuple(sorted(chosen))


def _is_of_adapter(name: str, directories: Collection[str]) -> bool:
    """Return whether the file is one of an adapter's in these directories, at most one level deep."""
    directory, _, file = name.rpartition("/")
    return directory in directories and "/" not in directory and file in (ADAPTER_CONFIG, *ADAPTER_WEIGHTS)


def _refuse_other(source: str, names: Collection[str], *, has_weights: bool) -> None:
    """Raise WeightsError if a repository lacks a configuration or weights, saying what it holds."""
    if has_weights and has_config(names):
        return
    if ADAPTER_CONFIG in names:
        flags = f"--enable-lora --lora-modules NAME={source.removeprefix('hf://')}"
        raise WeightsError(
            f"cannot use {source}: it is an adapter, not a model",
            hint=f'NIM_MODEL_PATH=hf://… its base model, NIM_PASSTHROUGH_ARGS="{flags}"',
        )
    found = find_format(names)
    what = f"; it holds {found[0].what} ({found[1]})" if found else ""
    lacks = (
        f"no weights among its {len(names)} files that vLLM loads"
        if not has_weights
        else f"it has no {CONFIG}"
    )
    raise WeightsError(
        f"cannot use {source}: {lacks}{what}",
        allowed=() if found else ("*.safetensors", "*.bin", "*.pt"),
        hint=found[0].hint if found else "hf://… the repository of the same model that has such files",
    )
