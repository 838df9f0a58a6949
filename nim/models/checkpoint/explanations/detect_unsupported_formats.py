"""Recognise directories and repositories that hold other things than a vLLM model, by file names."""

from collections.abc import Collection, Iterable
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

from nim.frozen_dataclass import frozen_dataclass
from nim.models.checkpoint.explanations.download_again_command import REPOSITORY

_CONVERTED = "NIM_MODEL_PATH=hf://… the same model in Hugging Face's format, with safetensors"
DIFFUSERS = "model_index.json"
_GGUF_BASE = b"general.base_model.0.repo_url"
_GGUF_HEAD_BYTES = 65_536
_HUB = "https://huggingface.co/"
_UNPACK = "unpack it, then NIM_MODEL_PATH=… the directory that holds config.json"


@frozen_dataclass
class Format:
    """`patterns` match names relative to the directory; `what` follows "it holds"."""

    patterns: tuple[str, ...]
    what: str
    hint: str = _CONVERTED


# The first that any file matches counts. Patterns with a slash are for files below the top.
FORMATS = (
    Format(
        patterns=("*.gguf", "*/*.gguf"),
        what="GGUF files, which vLLM 0.32 does not load",
        hint="NIM_MODEL_PATH=hf://… the model that was converted to GGUF, or its AWQ, GPTQ or FP8 version",
    ),
    Format(
        patterns=("rank*.engine", "*.engine", "*.plan", "*/rank*.engine"),
        what="a TensorRT engine, which only TensorRT-LLM runs",
        hint="NIM_MODEL_PATH=hf://… the checkpoint that the engine was built from",
    ),
    Format(patterns=("*.nemo", "model_weights/*", "weights/*.distcp"), what="a NeMo checkpoint"),
    Format(patterns=("*.llamafile",), what="a llamafile"),
    Format(patterns=("openvino_model.*", "openvino_*.xml"), what="an OpenVINO model"),
    Format(
        patterns=(DIFFUSERS,),
        what="a diffusers pipeline, which generates images or video",
        hint="NIM_MODEL_PATH=hf://… a language model",
    ),
    Format(patterns=("*.onnx", "onnx/*.onnx", "*.onnx_data"), what="ONNX files"),
    Format(
        patterns=("consolidated.*.pth", "*.pth"),
        what="Meta's original checkpoint (.pth)",
        hint="NIM_MODEL_PATH=hf://… the same model in Hugging Face's format, as hf://meta-llama/…",
    ),
    Format(
        patterns=("zero_to_fp32.py", "global_step*/*", "*/zero_pp_rank_*"),
        what="a DeepSpeed training checkpoint, in parts",
        hint="python zero_to_fp32.py . . --safe_serialization, in that directory",
    ),
    Format(
        patterns=("*.distcp", "pytorch_model_fsdp*/*", "*/*.distcp"),
        what="an FSDP training checkpoint, in parts",
        hint="accelerate merge-weights …/pytorch_model_fsdp_0 …, in that directory",
    ),
    Format(
        patterns=("latest_checkpointed_iteration.txt", "*/mp_rank_*/*", "mp_rank_*/*"),
        what="a Megatron training checkpoint",
    ),
    Format(patterns=("tf_model*.h5", "*.h5", "saved_model.pb", "*.ckpt.index"), what="TensorFlow weights"),
    Format(patterns=("flax_model*.msgpack", "*.msgpack"), what="Flax weights"),
    Format(patterns=("weights.npz", "weights.*.npz"), what="MLX weights (.npz)"),
    Format(
        patterns=("*.tflite", "*.task", "*.litertlm", "*.mlmodel", "*.mlpackage/*", "*.pte", "*.keras"),
        what="a model for another runtime",
    ),
    Format(patterns=("*.zip", "*.tar", "*.tar.*", "*.tgz", "*.7z"), what="an archive", hint=_UNPACK),
)
# What downloaders call a file that they have not finished.
PARTIAL = (
    *("*.incomplete", "*.part", "*.partial", "*.aria2", "*.crdownload", "*.download", "*.tmp"),
    ".cache/huggingface/download/*.incomplete",
)


def find_format(names: Iterable[str]) -> tuple[Format, str] | None:
    """Return (first known `Format` that vLLM does not load, name of one such file); None if none matches."""
    known = sorted(names)
    for one in FORMATS:
        for name in known:
            if matches(name, one.patterns):
                return one, name
    return None


def format_hint(found: Format, file: Path) -> str:
    """Return the setting to type instead; for a GGUF file its metadata is read for the base model."""
    base = _gguf_base(file) if file.suffix == ".gguf" else None
    return f"NIM_MODEL_PATH=hf://{base}, which the GGUF was made from" if base else found.hint


def partial_files(names: Iterable[str]) -> tuple[str, ...]:
    """Return those of `names` that unfinished downloads have (*.incomplete, *.part, …), sorted."""
    return tuple(sorted(name for name in names if matches(name, PARTIAL)))


def matches(name: str, patterns: Collection[str]) -> bool:
    """Return whether the path `name` matches a pattern; a star does not match a slash."""
    return any(name.count("/") == pattern.count("/") and fnmatchcase(name, pattern) for pattern in patterns)


def _gguf_base(path: Path) -> str | None:
    """Read a GGUF file's metadata and return the "org/name" it was converted from; None if unknown."""
    with suppress(OSError), path.open("rb") as file:
        _, key, rest = file.read(_GGUF_HEAD_BYTES).partition(_GGUF_BASE)
        # A value is its type (4 bytes), its length (8 bytes), its text.
        length = int.from_bytes(rest[4:12], "little")
        url = rest[12 : 12 + length].decode("utf-8", "replace") if key else ""
        repository = url.removeprefix(_HUB)
        return repository if url.startswith(_HUB) and REPOSITORY.fullmatch(repository) else None
    return None
