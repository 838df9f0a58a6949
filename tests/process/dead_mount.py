"""Run a program for which a directory is a dead mount: `dead_mount.py DIRECTORY PROGRAM …`.

A real one, of FUSE: whoever looks into it is held by the kernel, as by a network mount whose server is gone.
It is in a namespace of its own, and its end frees whoever is held. Exit code 77: no mount can be made here.
"""

import ctypes
import os
import subprocess
import sys
from typing import Any

CLONE_NEWNS = 0x20000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
NO_MOUNT = 77


def main(directory: str, *program: str) -> int:
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        _call(libc.unshare, CLONE_NEWNS)
        _call(libc.mount, None, b"/", None, MS_REC | MS_PRIVATE, None)
        server = os.open("/dev/fuse", os.O_RDWR)  # which is never read
        options = f"fd={server},rootmode=40000,user_id=0,group_id=0"
        _call(libc.mount, b"dead", directory.encode(), b"fuse", 0, options.encode())
    except OSError as error:
        print(f"no mount: {error}")
        return NO_MOUNT
    return subprocess.run(program, check=False).returncode


def _call(function: Any, *arguments: object) -> None:
    if function(*arguments):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
