"""List the repositories that the engine will download, and the hub cache directories they go to."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from nim.models.requested_model import Source
from nim.plan import Download, Wanted
from nim.value_origins import Value

GB = 1000**3
# What vLLM ignores by default: Llama's checkpoints have their weights twice.
ORIGINALS = ("original/**/*",)
# As the hub's client looks for its cache: the first that is set. Below HF_HOME it is "hub".
_CACHES = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")
_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w.-]+")


def download_of(
    source: Source, config: Mapping[str, Value], environ: Mapping[str, str], size_gb: float | None
) -> Download | None:
    """Return the `Download` (cache directory, total bytes) of the model; None for a local directory."""
    if source.repository is None:
        return None
    wanted = Wanted(repository=source.repository, revision=source.revision, cache=cache_of(config, environ))
    return Download(directory=str(wanted.directory), total_bytes=int(size_gb * GB) if size_gb else None)


def cache_of(config: Mapping[str, Value], environ: Mapping[str, str]) -> str:
    """Return the path of the hub's cache: --download-dir, else the client's variables, else HF_HOME/hub."""
    cache = _option(config, "download_dir")
    cache = cache or next((environ[name] for name in _CACHES if environ.get(name)), "")
    return cache or f"{_option(config, 'HF_HOME')}/hub"


def wanted_of(source: Source, config: Mapping[str, Value], environ: Mapping[str, str]) -> tuple[Wanted, ...]:
    """Return a tuple, a `Wanted` per repository that the start downloads: model, draft, tokenizer, config."""
    cache = cache_of(config, environ)
    found = {
        (repository, revision): Wanted(repository=repository, revision=revision, cache=cache, **more)
        for repository, revision, more in reversed(list(_repositories(source, config)))
    }
    return tuple(reversed(found.values()))


def file_selection(config: Mapping[str, Value]) -> tuple[str, tuple[str, ...]]:
    """Return (load format, patterns of files to ignore): they select the files that the engine loads."""
    ignored = config["ignore_patterns"].value if "ignore_patterns" in config else ORIGINALS
    return _option(config, "load_format") or "auto", _words(ignored)


def _repositories(
    source: Source, config: Mapping[str, Value]
) -> Iterator[tuple[str, str | None, dict[str, Any]]]:
    """Yield (repository, revision, file selection) of each repository that the options name."""
    revision = _option(config, "revision") or None
    load_format, ignored = file_selection(config)
    more = {"load_format": load_format, "ignored": ignored}
    if source.repository:
        yield source.repository, revision, more
    draft = config["speculative_config"].value if "speculative_config" in config else None
    if isinstance(draft, Mapping) and _REPOSITORY.fullmatch(str(draft.get("model", ""))):
        yield str(draft["model"]), draft.get("revision"), more
    for name, version in (
        ("tokenizer", _option(config, "tokenizer_revision") or revision),
        ("hf_config_path", None),
    ):
        if _REPOSITORY.fullmatch(_option(config, name)):
            yield _option(config, name), version, {"load_format": None}


def _words(value: Any) -> tuple[str, ...]:
    """Return a string as a tuple of it, a list as a tuple; () for None."""
    return (value,) if isinstance(value, str) else tuple(value or ())


def _option(config: Mapping[str, Value], name: str) -> str:
    """Return an option's value as text; "" if it is not set."""
    return str(config[name].value or "") if name in config else ""
