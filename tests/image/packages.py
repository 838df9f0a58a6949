"""Provide a build with the package sources of this machine's pip; local folders are served meanwhile.

What pip is told here, in files or in the environment, is told in the build by a pip.conf that does not stay.
"""

import ast
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SOURCES = ("index-url", "extra-index-url", "find-links", "trusted-host")


@contextmanager
def lent_packages(directory: Path) -> Iterator[dict[str, str]]:
    """Yield the variables for `make image`; `directory` is for the files that they name."""
    told = pip_configuration()
    with ExitStack() as stack:
        lines = ["[global]"]
        for name in SOURCES:
            places = [stack.enter_context(reachable(place)) for place in told.get(name, "").split()]
            lines += [f"{name} = {' '.join(places)}"] if places else []
        conf = directory / "pip.conf"
        conf.write_text("\n".join(lines) + "\n", encoding="utf-8")
        yield {"PIP_CONF": str(conf)} | ({"CA": told["cert"]} if told.get("cert") else {})


def pip_configuration() -> dict[str, str]:
    """Return option → value of pip, the environment before the files."""
    command = (sys.executable, "-m", "pip", "config", "list")
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    found: dict[str, str] = {}
    for line in sorted(lines, key=lambda line: line.startswith(":env:")):
        if match := re.fullmatch(r"(?::env:|\w+)\.([\w-]+)=('.*'|\".*\")", line):
            found[match[1]] = ast.literal_eval(match[2])
    return found


@contextmanager
def reachable(place: str) -> Iterator[str]:
    """Yield a folder as an address on this machine, for as long as it is needed; anything else as it is."""
    path = Path(place.removeprefix("file://"))
    if not path.is_absolute() or not path.is_dir():
        yield place
        return
    # The pages of an index point to files beside it.
    root = path.parent if path.name == "simple" else path
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/{'simple/' if root != path else ''}"
    finally:
        server.shutdown()
        server.server_close()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 (the base class names it)
        pass
