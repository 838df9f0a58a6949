"""What the engine will fetch by itself, and where to: the hub's client keeps a directory for each model."""

from collections.abc import Mapping

from nim.decide.model import Source
from nim.plan import Download
from nim.values import Value

GB = 1000**3
# As the hub's client looks for its cache: the first that is set. Below HF_HOME it is "hub".
_CACHES = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")


def download_of(
    source: Source, config: Mapping[str, Value], environ: Mapping[str, str], size_gb: float | None
) -> Download | None:
    """None where the model lies in a directory already. `size_gb` is what the profile says."""
    if source.repository is None:
        return None
    cache = _option(config, "download_dir")
    cache = cache or next((environ[name] for name in _CACHES if environ.get(name)), "")
    cache = cache or f"{_option(config, 'HF_HOME')}/hub"
    directory = f"{cache}/models--{source.repository.replace('/', '--')}"
    return Download(directory=directory, total_bytes=int(size_gb * GB) if size_gb else None)


def _option(config: Mapping[str, Value], name: str) -> str:
    return str(config[name].value or "") if name in config else ""
