"""The program of supervisord's process: wait on stdin for what to run, then run the stock supervisord.

It starts while the launcher is still deciding, because importing supervisord takes 80 ms. An empty word on
stdin means that the service was refused. It imports nothing else of this project, to save memory.
"""

import json
import os
import sys

# http.client, which supervisord imports, does without: nothing here speaks TLS. It takes 1.3 MiB.
sys.modules["ssl"] = None  # type: ignore[assignment]

import supervisor.http  # noqa: E402
import supervisor.rpcinterface  # noqa: E402
import supervisor.supervisord  # noqa: E402


def main() -> None:
    """Read the configuration from stdin as JSON, then run supervisord; return at once if stdin is empty."""
    text = sys.stdin.buffer.read()
    if not text:
        return
    os.umask(0o077)
    word = json.loads(text)
    os.environ.clear()
    os.environ.update(word["environ"])
    for path in word[
        "pipes"
    ]:  # held open, so that a program started before PID 1 reads its log does not block
        os.open(path, os.O_RDWR | os.O_CLOEXEC)
    nothing, log = os.open(os.devnull, os.O_RDONLY), os.open(word["log"], os.O_RDWR)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    supervisor.supervisord.main(["-n", "-c", word["configuration"]])


if __name__ == "__main__":
    main()
