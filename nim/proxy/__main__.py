"""`python -m nim.proxy RUN_DIR`: the router of a proxy, until SIGTERM."""

import os
import sys


def run() -> int:
    """Run the router; return its exit code."""
    from nim.proxy.router import main

    return main(sys.argv[1], os.environ)  # noqa: TID251 - the keys of backends are in the environment


sys.exit(run())
