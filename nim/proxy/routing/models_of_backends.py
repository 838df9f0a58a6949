"""All backends with their replicas, and the table of models that follows from them."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence

from nim.proxy.backend_services import SERVING, Backend
from nim.proxy.routing.replicas import Card, Replica, Target
from nim.proxy.upstreams import Place

# How soon a client should ask again where nobody knows better.
USUAL_RETRY_SECONDS = 5


class Fleet:
    """The backends and replicas. `targets` maps each name that a request may use to its Target."""

    def __init__(
        self, key_of: Callable[[Backend], str | None], now: Callable[[], float] | None = None
    ) -> None:
        self._key_of = key_of
        self.now = now or asyncio.get_running_loop().time
        self.backends: tuple[Backend, ...] = ()
        self.replicas: dict[str, Replica] = {}
        self.targets: dict[str, Target] = {}

    def replace(self, backends: Sequence[Backend], places: Iterable[Place]) -> None:
        """Take over other backends or places. Replicas that stay remain: requests run on them."""
        by_name = {backend.name: backend for backend in backends}
        before, self.replicas = self.replicas, {}
        for place in places:
            backend = by_name[place.backend]
            key = self._key_of(backend)
            replica = before.get(place.name) or Replica(place=place, backend=backend, key=key)
            replica.belong(place, backend, key)
            self.replicas[place.name] = replica
        self.backends = tuple(backends)
        self.rebuild()

    def rebuild(self) -> None:
        """Make the table of models anew, after a change of backends or of the models of a replica."""
        table: dict[str, Target] = {}
        for backend in self.backends:
            own = [replica for replica in self.replicas.values() if replica.backend is backend]
            if backend.state != SERVING:
                for name in backend.models:
                    table.setdefault(name, Target(backend=backend, state=backend.state))
                continue
            self._add_models(table, backend, own)
        for backend in self.backends:
            self._add_aliases(table, backend)
        self.targets = table

    def _add_models(self, table: dict[str, Target], backend: Backend, own: Sequence[Replica]) -> None:
        """Add the models of a backend that serves, with the replicas that have each."""
        for name in backend.models:
            if table.setdefault(name, Target(backend=backend)).state != SERVING:
                table[name] = Target(backend=backend)
            table[name].replicas += own
        if backend.models:
            return
        for replica in own:
            for name in replica.cards or ():
                target = table.setdefault(name, Target(backend=backend))
                if target.state != SERVING:
                    target = table[name] = Target(backend=backend)
                target.replicas.append(replica)

    def _add_aliases(self, table: dict[str, Target], backend: Backend) -> None:
        """Add the aliases of a backend; one that its replicas list as a model needs no other name."""
        if backend.state != SERVING:
            return
        for alias, name in backend.aliases.items():
            if alias in table or name not in table:
                continue
            replicas = [replica for replica in table[name].replicas if replica.backend is backend]
            listed = bool(replicas) and all(alias in (replica.cards or ()) for replica in replicas)
            table[alias] = Target(backend=backend, replicas=replicas, written_as=None if listed else name)

    @property
    def incomplete(self) -> bool:
        """Return whether a backend that names no models has not listed them yet, so that some are unknown."""
        return any(
            replica.cards is None and not replica.backend.models for replica in self.replicas.values()
        ) or any(
            backend.state == SERVING and not backend.models and not self._of(backend)
            for backend in self.backends
        )

    def _of(self, backend: Backend) -> list[Replica]:
        """Return a list of the replicas of a backend."""
        return [replica for replica in self.replicas.values() if replica.backend is backend]

    def ready_replicas(self) -> list[Replica]:
        """Return a list of the replicas that take requests now."""
        now = self.now()
        return [replica for replica in self.replicas.values() if replica.ready and replica.out_until <= now]

    def retry_seconds(self, replicas: Iterable[Replica]) -> int:
        """Return the whole seconds until the first of these may be ready, from what they say themselves."""
        now = self.now()
        waits = [wait for replica in replicas for wait in self._wait(replica, now)]
        return max(1, min(round(min(waits) + 0.5), 3600)) if waits else USUAL_RETRY_SECONDS

    @staticmethod
    def _wait(replica: Replica, now: float) -> Iterator[float]:
        """Yield the seconds until a replica may be ready, if that is known."""
        if replica.ready and replica.out_until > now:
            yield replica.out_until - now
        elif replica.ready:
            yield 0.0
        elif replica.eta_seconds is not None:
            yield replica.eta_seconds

    def cards(self) -> list[Card]:
        """Return the cards of all models that can be called, each id once, in the order of the backends.

        A name from the file that no replica has listed gets a card of its own.
        """
        return [card for name in self._listed() if (card := self.card(name))]

    def _listed(self) -> Iterator[str]:
        """Yield the names of all models that can be called: in the order of the file, the rest after them."""
        yield from (name for name, target in self.targets.items() if target.state == SERVING)

    def card(self, name: str) -> Card | None:
        """Return the card of a model; None for one that cannot be called."""
        target = self.targets.get(name)
        if target is None or target.state != SERVING:
            return None
        known = target.written_as or name
        for replica in target.replicas:
            if card := (replica.cards or {}).get(known):
                return card | {"id": name} | ({"root": known} if target.written_as else {})
        return new_card(name, root=known)


def new_card(name: str, root: str | None = None) -> Card:
    """Return the card of a model of which only the name is known; its time never changes."""
    owner = name.partition("/")[0] if "/" in name else "nim"
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": owner,
        "root": root or name,
        "parent": None,
        "permission": [],
    }
