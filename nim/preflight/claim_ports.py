"""Claims on TCP ports, so that two services that start in one moment do not share one.

nginx's listeners have SO_REUSEPORT: a second nginx of the same user could listen beside the first, and the
kernel would deal the connections out to both.
"""

import os
import socket
from collections.abc import Iterable

from nim.errors import PreflightError
from nim.preflight.run_start_checks import Port


def claim_ports(ports: Iterable[Port]) -> tuple[int, ...]:
    """Bind an abstract unix socket named after each port; return a tuple of fds, or PreflightError.

    The descriptors survive exec. The names that they hold are, like ports, those of this network namespace.
    PreflightError for a port that another service has claimed.
    """
    held: list[int] = []
    try:
        for port in ports:
            held.append(_claim(port))
            os.set_inheritable(held[-1], True)
    except PreflightError:
        release(held)
        raise
    return tuple(held)


def release(held: Iterable[int]) -> None:
    """Close the descriptors of the claims, so that others can claim the ports."""
    for fd in held:
        os.close(fd)


def _claim(port: Port) -> int:
    """Bind an abstract unix socket named after the port; return its descriptor, PreflightError if taken."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        link.bind(f"\0nim-port-{port.number}")
    except OSError:
        link.close()
        raise PreflightError(
            f"cannot listen on port {port.number} ({port.variable}): "
            "another service has taken it, and is starting or stopping",
            hint=f"{port.variable}=… another port",
        ) from None
    return link.detach()
