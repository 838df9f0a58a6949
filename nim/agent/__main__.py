"""`python -m nim.agent RUN_DIR`: serve on a unix socket in the run directory until SIGTERM."""

import os
import sys


def run() -> int:
    """Serve until a stop signal, return the exit code."""
    from nim.agent.serve import main

    environ = os.environ  # noqa: TID251 - the entry point of this program
    return main(sys.argv[1], environ.get("VLLM_API_KEY"), environ.get("NIM_AGENT_DB_URL") or None)


if __name__ == "__main__":  # a worker of Dask imports this module
    sys.exit(run())
