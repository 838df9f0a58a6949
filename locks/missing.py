"""Prints constraints for those packages of a lock that this Python does not have yet.

usage: python locks/missing.py locks/KIND.txt

For environments on top of an engine that is installed already: what the engine brought keeps its version.
"""

import re
import sys
from importlib.metadata import distributions
from pathlib import Path


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    present = {canonical(distribution.name) for distribution in distributions()}
    for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines():
        pin = re.match(r"([\w.-]+)==[^\\]*", line)
        if pin and canonical(pin[1]) not in present:
            print(pin[0].strip())


if __name__ == "__main__":
    main()
