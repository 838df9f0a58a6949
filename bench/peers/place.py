"""The directories in which proxies are installed, apart from the project's environment."""

import shutil
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / ".peers"
ALL = "make bench-peers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Packages:
    """What a peer needs: packages of PyPI or npm, pinned, in a directory of their own, or Debian's."""

    name: str
    pip: tuple[str, ...] = ()
    apt: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()
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
        return f"not installed: {self.by} ({self.how} {' '.join(self.names)})"

    @property
    def names(self) -> tuple[str, ...]:
        """Return the packages as their index names them."""
        return self.pip or self.npm or self.apt

    @property
    def how(self) -> str:
        """Return the command that installs them."""
        return "pip install" if self.pip else "npm install" if self.npm else "apt-get install"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program(Packages):
    """A program that may be on the machine already."""

    inside: str

    def found(self) -> str | None:
        """Return the program's path."""
        return str(self.path(self.inside)) if self.done.exists() else shutil.which(Path(self.inside).name)

    def missing(self) -> str | None:
        return None if self.found() else Packages.missing(self)
