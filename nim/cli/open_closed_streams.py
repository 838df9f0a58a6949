"""Standard input, output and error, where whoever started this process has closed them."""

import os
import sys


def open_closed_streams() -> None:
    """Open /dev/null in place of each of descriptors 0 to 2 that is closed; others stay as they are.

    Otherwise the next pipe or socket would get its number, and be written to or closed by mistake.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
