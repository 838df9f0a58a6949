"""Stock supervisord, which takes 80 ms to import itself and does so while the launcher still decides.

`python -I -m nim.process.supervisord` then reads from its standard input what it is to run, see `spawn`: an
empty word if the service was refused. It imports no room of ours: each would stay in memory until the end.
"""

import json
import os
import sys

import supervisor.http
import supervisor.rpcinterface
import supervisor.supervisord


def main() -> None:
    """Wait for the word, then be supervisord until the end, its log going into its pipe."""
    text = sys.stdin.buffer.read()
    if not text:
        return
    os.umask(0o077)
    word = json.loads(text)
    os.environ.clear()
    os.environ.update(word["environ"])
    for path in word["pipes"]:  # held to the end: who is started before PID 1 reads its log waits for nobody
        os.open(path, os.O_RDWR | os.O_CLOEXEC)
    nothing, log = os.open(os.devnull, os.O_RDONLY), os.open(word["log"], os.O_RDWR)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    supervisor.supervisord.main(["-n", "-c", word["configuration"]])


if __name__ == "__main__":
    main()
