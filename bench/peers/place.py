"""Where peers are installed: in a folder of their own, apart from the project's environment."""

import shutil
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / ".peers"
ALL = "make bench-peers"


@dataclass(frozen=True, slots=True)
class Packages:
    """What a peer needs: packages of PyPI, pinned, in an environment of their own, or packages of Debian.

    `marker` is a file that is there when it is installed.
    """

    name: str
    marker: str
    pip: tuple[str, ...] = ()
    apt: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    def path(self, inside: str) -> Path:
        """A file of the package."""
        return self.folder / inside

    def missing(self) -> str | None:
        """What to type, where it is not installed."""
        if self.path(self.marker).exists():
            return None
        how = f"pip install {' '.join(self.pip)}" if self.pip else f"apt-get install {' '.join(self.apt)}"
        return f"not installed: {ALL} ({how})"


@dataclass(frozen=True, slots=True)
class Program(Packages):
    """A program that may be installed on the machine already."""

    def found(self) -> str | None:
        """The program's path."""
        own = self.path(self.marker)
        return str(own) if own.exists() else shutil.which(Path(self.marker).name, path=SEARCHED)

    def missing(self) -> str | None:
        return None if self.found() else Packages.missing(self)


SEARCHED = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
