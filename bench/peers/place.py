"""The directories in which proxies are installed, apart from the project's environment."""

import shutil
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / ".peers"
ALL = "make bench-peers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Packages:
    """What a peer needs: packages of PyPI, pinned, in an environment of their own, or packages of Debian."""

    name: str
    pip: tuple[str, ...] = ()
    apt: tuple[str, ...] = ()
    by: str = ALL

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    @property
    def done(self) -> Path:
        """Return a file that is there once all of it is."""
        return self.folder / "installed"

    def path(self, inside: str) -> Path:
        """Return a file of the package."""
        return self.folder / inside

    def missing(self) -> str | None:
        """Return what to type, where it is not installed."""
        if self.done.exists():
            return None
        how = f"pip install {' '.join(self.pip)}" if self.pip else f"apt-get install {' '.join(self.apt)}"
        return f"not installed: {self.by} ({how})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program(Packages):
    """A program that may be on the machine already."""

    inside: str

    def found(self) -> str | None:
        """Return the program's path."""
        return str(self.path(self.inside)) if self.done.exists() else shutil.which(Path(self.inside).name)

    def missing(self) -> str | None:
        return None if self.found() else Packages.missing(self)
