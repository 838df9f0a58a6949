"""`nim routes`: what the gateway lets through, group by group."""

import argparse
from collections.abc import Mapping, Sequence

from nim.routes import describe_routes


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:  # noqa: ARG001 (every verb is called alike)
    """Print the table."""
    argparse.ArgumentParser(prog="nim routes", description=__doc__).parse_args(arguments)
    print(describe_routes(), end="")
    return 0
