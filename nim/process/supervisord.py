"""Stock supervisord, which takes 80 ms to import itself and does so while the launcher still decides.

`python -I -m nim.process.supervisord` then reads from its standard input what it is to run, see `spawn`.
If there is nothing, the service was refused, and there is nothing to supervise.
"""

import json
import os
import sys
from pathlib import Path

import supervisor.http
import supervisor.rpcinterface
import supervisor.supervisord

from nim.paths import SUPERVISORD_CONF
from nim.process.pipes import NAMES, open_pipe


def main() -> None:
    """Wait for the word, then be supervisord until the end, its log going into its pipe."""
    word = sys.stdin.buffer.read()
    if not word:
        return
    environ: dict[str, str] = json.loads(word)
    os.environ.clear()
    os.environ.update(environ)
    run_dir = Path(environ["NIM_RUN_DIR"])
    # Held to the end: a program that is started before PID 1 reads its log waits for nobody.
    held = {name: open_pipe(run_dir, name) for name in NAMES}
    os.set_blocking(held["supervisord"], True)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (held["supervisord"], 1), (held["supervisord"], 2)):
        os.dup2(source, target)
    supervisor.supervisord.main(["-n", "-c", str(SUPERVISORD_CONF)])


if __name__ == "__main__":
    main()
