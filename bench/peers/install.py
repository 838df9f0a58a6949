"""`make bench-peers`: install the other proxies into bench/.peers, and nothing elsewhere."""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from bench.peers import PACKAGES
from bench.peers.place import Packages


def main() -> int:
    """Install each that is missing; those that cannot be are told of, and the rest goes on."""
    names = [packages.name for packages in PACKAGES]
    parser = argparse.ArgumentParser(prog="python -m bench.peers.install", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these: {', '.join(names)}")
    wanted = parser.parse_args().names or names
    if unknown := set(wanted) - set(names):
        parser.error(f"cannot install {', '.join(sorted(unknown))}: known are {', '.join(names)}")
    return install([packages for packages in PACKAGES if packages.name in wanted])


def install(wanted: Iterable[Packages]) -> int:
    """Install those that are missing; return 1 if one of them cannot be, else 0."""
    failed = [packages.name for packages in wanted if not _installed(packages)]
    return 1 if failed else 0


def _installed(packages: Packages) -> bool:
    if packages.missing() is None:
        print(f"{packages.name}: installed")
        return True
    try:
        print(f"{packages.name}: installing {' '.join(packages.names)}", flush=True)
        _install(packages)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        print(f"{packages.name}: cannot install it: {error}", file=sys.stderr)
        return False
    return True


def _install(packages: Packages) -> None:
    """Install a package from scratch, removing earlier attempts."""
    shutil.rmtree(packages.folder, ignore_errors=True)
    packages.folder.mkdir(parents=True)
    {"pip install": _pip, "npm install": _npm, "apt-get install": _apt}[packages.how](packages)
    packages.done.touch()


def _pip(packages: Packages) -> None:
    """Install with uv, which takes seconds where pip takes minutes."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", packages.folder], check=True)
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}") or "uv"
    python = packages.path("bin/python")
    subprocess.run([uv, "pip", "install", "-q", "--python", python, *packages.pip], check=True)


def _npm(packages: Packages) -> None:
    """Install with npm into the folder's node_modules."""
    quiet = ("--no-audit", "--no-fund", "--silent", "--prefix", str(packages.folder))
    subprocess.run(["npm", "install", *quiet, *packages.npm], check=True)


def _apt(packages: Packages) -> None:
    """Unpack Debian packages without installing them: no root, no services."""
    subprocess.run(["apt-get", "download", "-qq", *packages.apt], check=True, cwd=packages.folder)
    for archive in packages.folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", archive, packages.folder], check=True)
        Path(archive).unlink()


if __name__ == "__main__":
    sys.exit(main())
