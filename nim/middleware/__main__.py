"""`python -m nim.middleware RUN_DIR`: answers on a unix socket in the run directory until SIGTERM."""

import os
import sys


def run() -> int:
    """Start the program; its exit code. The run directory is the argument, or in the environment."""
    # This process never speaks TLS, yet aiohttp reads every known certificate at import: 2 MB and 50 ms.
    os.environ["SSL_CERT_FILE"] = os.devnull  # noqa: TID251 - has to be there before that import
    from nim.middleware.serve import main

    return main(sys.argv[1:], os.environ.get("NIM_RUN_DIR"))  # noqa: TID251 - the program's own door


sys.exit(run())
