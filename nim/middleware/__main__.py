"""`python -m nim.middleware RUN_DIR`: serve on a unix socket in the run directory until SIGTERM."""

import os
import sys


def run() -> int:
    """Serve until a stop signal, return the exit code; the run directory is an argument or NIM_RUN_DIR."""
    # This process never speaks TLS, but aiohttp loads all certificates at import: 2 MB and 50 ms.
    os.environ["SSL_CERT_FILE"] = os.devnull  # noqa: TID251 - must be set before that import
    from nim.middleware.serve import main

    return main(sys.argv[1:], os.environ.get("NIM_RUN_DIR"))  # noqa: TID251 - the entry point of this program


sys.exit(run())
