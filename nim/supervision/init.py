"""PID 1 of the service: `nim.supervision.start` becomes this program, supervisord its child already.

`python -I -m nim.supervision.init RUN_DIR` needs next to nothing and stays for as long as the service runs.
"""

import os
import sys
from pathlib import Path

from nim.supervision.controller import RestartPolicies
from nim.supervision.service import serve


def main(run_dir: Path, policies: RestartPolicies | None = None) -> int:
    """Serve what the run directory describes; the exit code."""
    os.umask(0o077)
    os.set_inheritable(int(os.environ.pop("NIM_LOCK_FD")), False)  # held until the end, by this process alone
    return serve(run_dir, int(os.environ.pop("NIM_SUPERVISOR_PID")), policies or RestartPolicies())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
