"""The models that the engine judges, and where their files are."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from nim.data_paths import ROOT
from tests.oracle.derived import CHECKPOINTS, write_configuration

CORPUS = Path(__file__).parent / "corpus"
CONFIGS = ROOT.parent / "shared" / "data" / "configs"  # of published models; optional
CASES = ROOT.parent / "shared" / "cases"  # optional


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A directory with a model's configuration. Without `recorded`, its verdict is not committed."""

    name: str
    directory: Path
    recorded: bool = True

    @property
    def fingerprint(self) -> str:
        """Return a digest of the files that vLLM reads: every JSON file but the weights' index."""
        digest = hashlib.sha256()
        for path in sorted(self.directory.rglob("*.json")):
            if not path.name.endswith(".index.json"):
                digest.update(f"{path.relative_to(self.directory)}\0".encode() + path.read_bytes())
        return digest.hexdigest()[:16]


def list_corpus() -> list[Model]:
    """Return the models of the corpus written for this project."""
    return [Model(name=path.name, directory=path) for path in _list_directories(CORPUS)]


def list_published() -> list[Model]:
    """Return the published models whose configurations lie beside the checkout."""
    return [Model(name=path.name.replace("--", "/"), directory=path) for path in _list_directories(CONFIGS)]


def list_derived() -> list[Model]:
    """Return the checkpoints of the manifests whose configurations are made of published ones."""
    if not CONFIGS.is_dir():
        return []
    return [Model(name=name, directory=write_configuration(name, CONFIGS)) for name in CHECKPOINTS]


def list_cases() -> list[Model]:
    """Return the models of the cases that lie beside the checkout."""
    found = [(path.name, path / "model") for path in _list_directories(CASES)]
    return [
        Model(name=f"case {name}", directory=path, recorded=False) for name, path in found if path.is_dir()
    ]


def list_all() -> list[Model]:
    """Return all models that are here."""
    return [*list_corpus(), *list_published(), *list_derived(), *list_cases()]


def _list_directories(place: Path) -> list[Path]:
    return sorted(path for path in place.iterdir() if path.is_dir()) if place.is_dir() else []
