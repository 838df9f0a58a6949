"""Parse nginx's `stub_status` page: numbers of connections and requests."""

import re
from typing import Self

from nim.frozen_dataclass import frozen_dataclass

_PAGE = re.compile(
    rb"Active connections: \d+ \nserver accepts handled requests\n (\d+) (\d+) (\d+) \n"
    rb"Reading: (\d+) Writing: (\d+) Waiting: (\d+) "
)


@frozen_dataclass
class Connections:
    """Connections and requests since nginx started, and the present connections by state."""

    accepted: int
    handled: int
    requests: int
    reading: int
    writing: int
    waiting: int

    @classmethod
    def from_page(cls, page: bytes | None) -> Self | None:
        """Return the Connections in nginx's stub_status page; None for no page or another text."""
        match = _PAGE.match(page or b"")
        if not match:
            return None
        accepted, handled, requests, reading, writing, waiting = (int(number) for number in match.groups())
        return cls(
            accepted=accepted,
            handled=handled,
            requests=requests,
            reading=reading,
            writing=writing,
            waiting=waiting,
        )
