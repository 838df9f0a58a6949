"""Which files of a repository vLLM takes: as its own loaders choose, so that none is missing or in vain."""

from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase

INDEX = "model.safetensors.index.json"
SAFETENSORS = "*.safetensors"
MISTRAL = "consolidated*.safetensors"
# Load format → patterns; the first that any file matches is the one whose files are loaded.
FORMATS = {
    "auto": (SAFETENSORS, "*.bin", "*.pt"),
    "hf": (SAFETENSORS, "*.bin", "*.pt"),
    "safetensors": (SAFETENSORS,),
    "fastsafetensors": (SAFETENSORS,),
    "instanttensor": (SAFETENSORS,),
    "mistral": (MISTRAL,),
    "npcache": ("*.bin", "*.pt"),
    "pt": ("*.pt",),
    "dummy": (),
}
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


def engine_files(
    names: Collection[str], load_format: str | None, ignored: Sequence[str], indexed: Collection[str] = ()
) -> tuple[str, ...]:
    """Of all files of a repository those that are wanted. `indexed` are the weights that its index names."""
    beside = {name for name in names if not _matches(name, LARGE)}
    return tuple(sorted({*beside, *weight_files(names, load_format, ignored, indexed)}))


def weight_files(
    names: Collection[str], load_format: str | None, ignored: Sequence[str], indexed: Collection[str] = ()
) -> tuple[str, ...]:
    """The weights that are loaded; none without a load format."""
    patterns = _patterns(names, load_format)
    if SAFETENSORS in patterns and indexed:
        return tuple(name for name in names if name in set(indexed))
    top = [name for name in names if "/" not in name]
    pattern = next((one for one in patterns if any(fnmatchcase(name, one) for name in top)), None)
    return tuple(
        name for name in names if pattern and fnmatchcase(name, pattern) and not _matches(name, ignored)
    )


def weights_among(names: Iterable[str]) -> frozenset[str]:
    """Those that nobody edits by hand, as people do with what stands beside them."""
    return frozenset(name for name in names if _matches(name, WEIGHTS))


def has_index(names: Collection[str], load_format: str | None) -> bool:
    """Whether an index says which weights are loaded."""
    return INDEX in names and SAFETENSORS in _patterns(names, load_format)


def needs_weights(load_format: str | None) -> bool:
    """Whether nothing can be loaded without any."""
    return load_format not in (None, "dummy")


def _patterns(names: Iterable[str], load_format: str | None) -> tuple[str, ...]:
    if load_format is None:
        return ()
    if load_format == "auto" and any(fnmatchcase(name.rpartition("/")[2], MISTRAL) for name in names):
        return FORMATS["mistral"]
    return FORMATS.get(load_format.lower(), FORMATS["hf"])


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
