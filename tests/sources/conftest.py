"""A model of a few files, and the downloader with a cache of its own."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nim.fetch.download.fetch_model import Fetched, fetch_model
from nim.fetch.sources.open_source import open_source
from nim.models.remote.cache_directories import directory_of
from nim.plan import RemoteModel
from tests.unit.models.checkpoint.directories import safetensors

OURS = ("NIM_", "HF_", "AWS_", "GOOGLE_", "AZURE_", "MODELSCOPE_", "NGC_", "SSL_CERT", "STORAGE_EMULATOR")
BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def make_model(directory: Path, size: int = 300_000) -> Path:
    """Return a directory with a configuration, a tokenizer and weights of so many random bytes."""
    directory.mkdir(parents=True, exist_ok=True)
    header = safetensors({"U8": size})[:-size]
    (directory / "config.json").write_text('{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}')
    (directory / "tokenizer.json").write_text("{}")
    (directory / "model.safetensors").write_bytes(header + os.urandom(size))
    (directory / "picture.png").write_bytes(b"p" * 1000)
    return directory


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove what would be credentials, proxies or certificates of this machine."""
    for name in list(os.environ):
        if name.startswith(OURS) or name in BUNDLES or name.lower() in PROXIES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return the directory of the served files, with a model in `model` below it."""
    make_model(tmp_path / "files" / "model")
    return tmp_path / "files"


@dataclass(kw_only=True)
class Downloader:
    """Fetches with the environment of the test into one cache, and keeps what was logged."""

    cache: Path
    lines: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)

    def remote(self, uri: str) -> RemoteModel:
        """Return the model as a plan has it."""
        return RemoteModel(uri=uri, directory=str(directory_of(self.cache, uri)))

    def __call__(self, uri: str, *, refresh: bool = False) -> Fetched:
        return fetch_model(
            self.remote(uri),
            lambda: open_source(uri, os.environ),
            lambda level, message: self.lines.append(f"{level} {message}"),
            refresh=refresh,
            show=self.shown.append,
        )

    def same(self, uri: str, origin: Path) -> bool:
        """Return whether the cache has the model's files, and no others, with the bytes of the origin."""
        current = Path(self.remote(uri).directory) / "current"
        there = {path.name: path.read_bytes() for path in current.iterdir()}
        wanted = ("config.json", "tokenizer.json", "model.safetensors")
        return there == {name: (origin / name).read_bytes() for name in wanted}


@pytest.fixture
def fetch(tmp_path: Path) -> Downloader:
    return Downloader(cache=tmp_path / "cache")


@pytest.fixture
def no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the pauses before further tries short."""
    monkeypatch.setattr("nim.fetch.download.transfer.FIRST_DELAY_SECONDS", 0.01)
    monkeypatch.setattr("nim.fetch.download.list_source.FIRST_DELAY_SECONDS", 0.01)
