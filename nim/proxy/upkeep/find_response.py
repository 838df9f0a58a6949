"""Find the replica that keeps a response of the Responses API: it is in the memory of one of them."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from urllib.parse import quote

from aiohttp import ClientSession

from nim.proxy.routing.replicas import Replica
from nim.proxy.upkeep.http_sessions import get_json

ANSWER_SECONDS = 2.0
MOST_KNOWN = 50_000


class ResponseFinder:
    """Asks all ready replicas at the same time, and remembers the answers."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self._known: OrderedDict[str, Replica] = OrderedDict()

    async def find(self, response_id: str, replicas: Iterable[Replica]) -> Replica | None:
        """Return the replica that has a stored response; None if none of these has it."""
        candidates = list(replicas)
        known = self._known.get(response_id)
        if known is not None and known in candidates:
            self._known.move_to_end(response_id)
            return known
        tasks = [asyncio.ensure_future(self._has(replica, response_id)) for replica in candidates]
        try:
            for done in asyncio.as_completed(tasks):
                with suppress(Exception):
                    if (replica := await done) is not None:
                        self._remember(response_id, replica)
                        return replica
        finally:
            for task in tasks:
                task.cancel()
        return None

    async def _has(self, replica: Replica, response_id: str) -> Replica | None:
        """Return the replica if it has the response; else None."""
        path = f"/v1/responses/{quote(response_id, safe='')}"
        reply = await get_json(self._session, replica, path, ANSWER_SECONDS)
        return replica if reply.status == 200 else None

    def _remember(self, response_id: str, replica: Replica) -> None:
        """Keep where a response is; the oldest are forgotten."""
        self._known[response_id] = replica
        while len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
