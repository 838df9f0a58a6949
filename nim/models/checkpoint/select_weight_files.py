"""Select the files of a model that vLLM fetches and loads, by the rules of its own loaders.

From a repository the engine fetches what matches a pattern anywhere below it; from a directory it loads only
what lies at the top (`vllm/model_executor/model_loader/default_loader.py`).
"""

from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase

from nim.frozen_dataclass import frozen_dataclass

INDEX = "model.safetensors.index.json"
MISTRAL_INDEX = "consolidated.safetensors.index.json"
# The engine does not read this one, but the sharded *.bin files of a checkpoint are named in it.
BIN_INDEX = "pytorch_model.bin.index.json"
SAFETENSORS = "*.safetensors"
MISTRAL = "consolidated*.safetensors"
BIN = "*.bin"
AUTO = "auto"
# Load format → patterns; the first that any file matches is the one whose files are loaded.
FORMATS = {
    AUTO: (SAFETENSORS, BIN, "*.pt"),
    "hf": (SAFETENSORS, BIN, "*.pt"),
    "safetensors": (SAFETENSORS,),
    "fastsafetensors": (SAFETENSORS,),
    "instanttensor": (SAFETENSORS,),
    "runai_streamer": (SAFETENSORS,),
    "mistral": (MISTRAL,),
    "npcache": (BIN, "*.pt"),
    "pt": ("*.pt",),
    "dummy": (),
}
# Architectures whose loader also takes these, and those whose weights are elsewhere or named otherwise.
ADDED_FILES = {
    "MoonshotKimiaForCausalLM": ("whisper-large-v3/*.safetensors",),
    "BgeM3EmbeddingModel": ("sparse_linear.pt", "colbert_linear.pt"),
    "ClefOmniForJointSchema": ("joint_head.safetensors",),
}
OWN_LOADERS = ("Cosmos3ForConditionalGeneration", "Cosmos3EdgeForConditionalGeneration", "UltravoxModel")
# Formats that load every *.safetensors file, whatever an index says.
_WITHOUT_INDEX = ("runai_streamer",)
# The state of a training run, which the loader leaves out of *.bin and *.pt by the end of the name.
TRAINING_STATE = ("training_args.bin", "optimizer.bin", "optimizer.pt", "scheduler.pt", "scaler.pt")
WEIGHTS = (
    *("*.safetensors", "*.bin", "*.pt", "*.pth", "*.ckpt"),
    *("*.gguf", "*.h5", "*.msgpack", "*.onnx", "*.onnx_data"),
)
# And large things that no tokenizer and no processor reads.
LARGE = (
    *WEIGHTS,
    *("*.png", "*.jpg", "*.jpeg", "*.gif", "*.webp", "*.mp3", "*.mp4", "*.wav", "*.flac"),
    *("*.parquet", "*.arrow", "*.ipynb", "*.zip", "*.tar*"),
)


@frozen_dataclass
class WeightSet:
    """The files that a load format takes from a directory, and the index that limits them, if any."""

    load_format: str
    files: tuple[str, ...]
    index: str | None = None

    @property
    def is_safetensors(self) -> bool:
        """Return whether any of the files is a .safetensors file."""
        return any(name.endswith(".safetensors") for name in self.files)


def local_weights(names: Collection[str], load_format: str) -> WeightSet | None:
    """Return the `WeightSet` the engine would load, before its index applies; None for an unknown format.

    `names` are relative to the directory. None for load formats whose files are not known here, as those that
    plugins add.
    """
    chosen = _chosen_format(names, load_format)
    if chosen not in FORMATS:
        return None
    top = [name for name in names if "/" not in name and not name.startswith(".")]
    found = next((some for one in FORMATS[chosen] if (some := _matching(top, one))), ())
    if not any(name.endswith(".safetensors") for name in found):
        return WeightSet(load_format=chosen, files=tuple(one for one in found if not is_training_state(one)))
    index = MISTRAL_INDEX if chosen == "mistral" else INDEX
    has = index in names and chosen not in _WITHOUT_INDEX
    return WeightSet(load_format=chosen, files=found, index=index if has else None)


def other_weights(names: Collection[str], architectures: Iterable[str]) -> tuple[str, ...] | None:
    """Return the extra files that these architectures load; () if none, None if they load no usual ones."""
    known = [str(one) for one in architectures]
    if set(known) & set(OWN_LOADERS):
        return None
    patterns = [pattern for one in known for pattern in ADDED_FILES.get(one, ())]
    return tuple(sorted(name for name in names if matches_any(name, patterns)))


def is_mistral(names: Iterable[str]) -> bool:
    """Return whether any name is consolidated*.safetensors, so that the engine reads Mistral's format."""
    return any(fnmatchcase(name.rpartition("/")[2], MISTRAL) for name in names)


def is_training_state(name: str) -> bool:
    """Return whether the name ends like an optimizer's or trainer's file, which the loader skips."""
    return name.endswith(TRAINING_STATE)


def engine_files(
    names: Collection[str], load_format: str | None, ignored: Sequence[str], indexed: Collection[str] = ()
) -> tuple[str, ...]:
    """Return all names of a repository that the engine fetches, sorted: its weights and small files."""
    beside = {name for name in names if not matches_any(name, LARGE)}
    return tuple(sorted({*beside, *weight_files(names, load_format, ignored, indexed)}))


def weight_files(
    names: Collection[str], load_format: str | None, ignored: Sequence[str], indexed: Collection[str] = ()
) -> tuple[str, ...]:
    """Return the names of a repository's weights that the engine fetches; () without a load format."""
    patterns = _patterns(names, load_format)
    if SAFETENSORS in patterns and indexed:
        return tuple(name for name in names if name in set(indexed))
    top = [name for name in names if "/" not in name]
    pattern = next((one for one in patterns if any(fnmatchcase(name, one) for name in top)), None)
    return tuple(
        name for name in names if pattern and fnmatchcase(name, pattern) and not matches_any(name, ignored)
    )


def weights_among(names: Iterable[str]) -> frozenset[str]:
    """Return those of `names` that end like weights of any format, also ones vLLM does not load."""
    return frozenset(name for name in names if matches_any(name, WEIGHTS))


def has_index(names: Collection[str], load_format: str | None) -> bool:
    """Return whether a safetensors index is there and limits what this load format loads."""
    return INDEX in names and SAFETENSORS in _patterns(names, load_format)


def needs_weights(load_format: str | None) -> bool:
    """Return whether this load format needs weight files: False for None and "dummy"."""
    return load_format not in (None, "dummy")


def _patterns(names: Iterable[str], load_format: str | None) -> tuple[str, ...]:
    """Return a load format's file patterns, `auto` resolved by the names; () without a load format."""
    return FORMATS.get(_chosen_format(names, load_format), FORMATS["hf"]) if load_format is not None else ()


def _chosen_format(names: Iterable[str], load_format: str) -> str:
    """Return the load format in lower case, with "auto" resolved by the names to "mistral" or "hf"."""
    chosen = load_format.lower()
    if chosen == AUTO:
        return "mistral" if is_mistral(names) else "hf"
    return chosen


def _matching(names: Iterable[str], pattern: str) -> tuple[str, ...]:
    """Return the names that match a pattern, sorted."""
    return tuple(sorted(name for name in names if fnmatchcase(name, pattern)))


def matches_any(name: str, patterns: Iterable[str]) -> bool:
    """Return whether one of the patterns matches; a star also matches slashes, as in the hub's patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)
