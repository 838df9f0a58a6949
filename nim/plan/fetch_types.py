"""The part of a plan about what is fetched: a model, repositories of the hub, adapters."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nim.frozen_dataclass import frozen_dataclass
from nim.plan.gateway_types import tuples


@frozen_dataclass
class RemoteModel:
    """A model that the service itself fetches from `uri` into `directory`, its own in the cache.

    `load_format` and `ignored` select its weights. `mirrors` are asked instead of the source, in this order.
    `adapters`: instead of a model's, the files of LoRA adapters are wanted.
    """

    uri: str
    directory: str
    load_format: str | None = "auto"
    ignored: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()
    adapters: bool = False


@frozen_dataclass
class Download:
    """What a start downloads: the directory that grows, and the size in bytes if known.

    `remote`: the service fetches it before the engine starts; None for what the engine downloads itself.
    """

    directory: str
    total_bytes: int | None
    remote: RemoteModel | None = None


@frozen_dataclass
class Wanted:
    """A hub repository that the engine needs in its cache. `load_format` and `ignored` select its weights.

    With `load_format` None only the files beside the weights are wanted, such as a tokenizer.
    """

    repository: str
    revision: str | None
    cache: str
    load_format: str | None = "auto"
    ignored: tuple[str, ...] = ()

    @property
    def directory(self) -> Path:
        """Return the path of this repository's directory in the hub cache."""
        return Path(self.cache) / f"models--{self.repository.replace('/', '--')}"

    @property
    def uri(self) -> str:
        """Return the text `hf://org/name[:revision]`, as in NIM_MODEL_PATH."""
        return f"hf://{self.repository}" + (f":{self.revision}" if self.revision else "")


@frozen_dataclass
class AdapterPlan:
    """The LoRA adapters to serve: the directory that has them, and what they must suit.

    `refresh_seconds` is the interval of reading the directory again; 0: at the engine's starts only. With
    `remote`, the service fetches them into that directory, and asks for changes as often. `name` is that of
    an adapter whose files lie in the directory itself.
    """

    source: str
    refresh_seconds: float
    api_timeout_seconds: float
    max_rank: int | None
    base_names: tuple[str, ...]
    name: str
    remote: RemoteModel | None = None

    @property
    def is_refreshed(self) -> bool:
        """Return whether the service asks for changes of adapters elsewhere while it runs."""
        return self.remote is not None and self.refresh_seconds > 0


def download_from_json(data: Mapping[str, Any]) -> Download:
    """Return the Download in its JSON values."""
    remote = _remote_from_json(data["remote"])
    return Download(directory=data["directory"], total_bytes=data["total_bytes"], remote=remote)


def adapters_from_json(data: Mapping[str, Any]) -> AdapterPlan:
    """Return the AdapterPlan in its JSON values."""
    return AdapterPlan(**tuples(data, "base_names") | {"remote": _remote_from_json(data["remote"])})


def _remote_from_json(data: Mapping[str, Any] | None) -> RemoteModel | None:
    """Return the RemoteModel in its JSON values; None for null."""
    return RemoteModel(**tuples(data, "ignored", "mirrors")) if data else None
