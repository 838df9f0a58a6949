"""Entry point of PID 1, `python -I -m nim.supervision.pid1_main RUN_DIR`; supervisord is already its child.

It imports as little as possible, since it stays in memory for as long as the service runs.
"""

import os
import sys
from pathlib import Path

from nim.supervision.restart_policy import RestartPolicies
from nim.supervision.run_service import serve


def main(run_dir: Path, policies: RestartPolicies | None = None) -> int:
    """Run the service of the run directory until it has stopped; return its exit code."""
    os.umask(0o077)
    os.set_inheritable(
        int(os.environ.pop("NIM_LOCK_FD")), False
    )  # held until this process ends, and only by it
    return serve(run_dir, int(os.environ.pop("NIM_SUPERVISOR_PID")), policies or RestartPolicies())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
