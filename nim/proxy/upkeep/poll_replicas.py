"""Ask each replica whether it is ready, and which models it has."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from aiohttp import ClientSession

from nim.proxy.routing.models_of_backends import Fleet, new_card
from nim.proxy.routing.replicas import Card, Replica
from nim.proxy.upkeep.http_sessions import Reply, get_json
from nim.routes import MODELS, READY

log = logging.getLogger(__name__)

ANSWER_SECONDS = 2.0
MOST_MODELS = 10_000


class Poller:
    """Polls all replicas of a fleet; `changed` is called when a replica becomes ready or ceases to be.

    `ready_seconds` and `models_seconds` are the intervals between questions to one replica.
    """

    def __init__(
        self, fleet: Fleet, session: ClientSession, *, ready_seconds: float = 1.0, models_seconds: float = 5.0
    ) -> None:
        self._fleet, self._session = fleet, session
        self._ready_seconds, self._models_seconds = ready_seconds, models_seconds
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._by_health: set[str] = set()  # replicas without a route for readiness: /health is asked
        self.changed: Callable[[], None] = lambda: None

    def follow(self) -> None:
        """Begin to poll replicas that are new, and stop for those that are gone."""
        for name in self._tasks.keys() - self._fleet.replicas.keys():
            self._tasks.pop(name).cancel()
        for name in self._fleet.replicas:
            if name not in self._tasks:
                self._tasks[name] = asyncio.get_running_loop().create_task(self._poll(name))

    async def ask_all(self, seconds: float) -> None:
        """Ask all replicas for their models now, for at most `seconds`."""
        asked = [self._ask_models(replica, seconds) for replica in self._fleet.replicas.values()]
        await asyncio.gather(*asked)

    def stop(self) -> None:
        """Stop polling."""
        for task in self._tasks.values():
            task.cancel()

    async def _poll(self, name: str) -> None:
        """Poll one replica until this is cancelled."""
        due = 0.0
        while True:
            replica = self._fleet.replicas.get(name)
            if replica is None:
                return
            now = self._fleet.now()
            was_ready = replica.ready
            if replica.key and replica.backend.key_env:
                self._note(replica, True, "")  # a service elsewhere has no such route: it is tried
            else:
                await self._ask_ready(replica)
            if now >= due or (replica.ready and not was_ready):
                due = now + self._models_seconds
                await self._ask_models(replica, ANSWER_SECONDS)
            if bool(was_ready) is not replica.ready:
                self.changed()
            await asyncio.sleep(self._ready_seconds)

    async def _ask_ready(self, replica: Replica) -> None:
        """Note whether a replica says that it is ready, and if not what it waits for."""
        path = "/health" if replica.name in self._by_health else READY
        reply = await get_json(self._session, replica, path, ANSWER_SECONDS)
        if reply.status == 404 and path == READY:
            self._by_health.add(replica.name)
            reply = await get_json(self._session, replica, "/health", ANSWER_SECONDS)
        if reply.status == 0:
            self._by_health.discard(replica.name)  # it may come back as another program
        self._note(replica, reply.status == 200, _why(reply), _eta(reply))

    def _note(self, replica: Replica, ready: bool, why: str, eta: float | None = None) -> None:
        """Take over what a replica said; log a change."""
        if replica.ready is not ready:
            level = logging.INFO if ready or replica.ready is None else logging.WARNING
            state = "ready" if ready else f"not ready: {why}"
            log.log(level, "%s of %s is %s", replica.label, replica.backend.name, state)
            if ready:
                replica.answered()
        replica.ready, replica.why, replica.eta_seconds = ready, why, eta

    async def _ask_models(self, replica: Replica, seconds: float) -> None:
        """Take over the models that a replica lists; those it listed before stay if it does not answer."""
        reply = await get_json(self._session, replica, MODELS, seconds)
        cards = _cards(reply)
        if cards is None or cards == replica.cards:
            return
        before = set(replica.cards or ())
        replica.cards = cards
        if before != set(cards):
            log.info("%s of %s has the models %s", replica.label, replica.backend.name, ", ".join(cards))
        self._fleet.rebuild()


def _why(reply: Reply) -> str:
    """Return why a replica is not ready, in its own words if it has any."""
    if reply.status == 0:
        return reply.why
    if isinstance(reply.body, dict) and isinstance(reply.body.get("message"), str):
        phase = reply.body.get("phase")
        said: str = reply.body["message"]
        return said if not isinstance(phase, str) or phase in said else f"{phase}: {said}"
    return f"it answered {reply.status}"


def _eta(reply: Reply) -> float | None:
    """Return the seconds until ready that a replica expects; None if it does not say."""
    seconds = reply.body.get("eta_seconds") if isinstance(reply.body, dict) else None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < 1e6:
        return None
    return float(seconds)


def _cards(reply: Reply) -> dict[str, Card] | None:
    """Return {id: card} of a list of models; None if the answer is none."""
    if (
        reply.status != 200
        or not isinstance(reply.body, dict)
        or not isinstance(reply.body.get("data"), list)
    ):
        return None
    entries: list[Any] = reply.body["data"][:MOST_MODELS]
    return {
        entry["id"]: new_card(entry["id"]) | entry
        for entry in entries
        if isinstance(entry, dict) and isinstance(entry.get("id"), str) and entry["id"]
    }
