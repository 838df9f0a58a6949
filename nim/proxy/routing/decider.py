"""Decide where a request goes: its model, then the replica with the fewest running requests."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from itertools import count
from urllib.parse import parse_qs

from nim.proxy.backend_services import OFFLINE, PREFIX, RETIRED
from nim.proxy.routing.error_answers import error_answer
from nim.proxy.routing.models_of_backends import Fleet
from nim.proxy.routing.prefix_index import PrefixIndex
from nim.proxy.routing.read_body import Asked, BodyError, read_form, read_json
from nim.proxy.routing.replicas import Replica, Target
from nim.proxy.routing.running_requests import Flight, Flights

RESPONSES, REALTIME = "/v1/responses", "/v1/realtime"
OFFLINE_RETRY_SECONDS = 3600
_REWRITTEN = (
    "HTTP/1.1 200 OK\r\nX-Accel-Redirect: @rewritten\r\nX-Nim-Replica: {}\r\nContent-Length: 0\r\n\r\n"
)

FindResponse = Callable[[str, Iterable[Replica]], Awaitable[Replica | None]]


@dataclass(slots=True, kw_only=True, eq=False)
class Question:
    """A request that nginx asks about. `model` is one named in a header or in the path; `worker` is a pid.

    The memory of `body` is reused once the answer was returned.
    """

    key: bytes
    generation: int
    worker: int
    path: str
    content_type: str
    request_id: str
    model: str
    query: str
    body: memoryview


class Decider:
    """Answers nginx's questions. `find_response` asks replicas which of them has a stored response."""

    def __init__(self, fleet: Fleet, flights: Flights, find_response: FindResponse) -> None:
        self._fleet, self._flights, self._find_response = fleet, flights, find_response
        self._turn = count(1)
        self.prefixes = PrefixIndex()
        self.refused: Callable[[str, int], None] = lambda *_: None

    def decide(self, question: Question) -> bytes | Awaitable[bytes]:
        """Return the answer to nginx, or something to await for it where replicas have to be asked first."""
        if question.path.startswith(RESPONSES + "/") and not question.path.endswith("/render"):
            return self._of_response(question, question.path.split("/")[3])
        if question.path == REALTIME:
            return self._of_websocket(question)
        if question.model:
            return self._route(question, question.model)
        try:
            asked = self._read(question)
        except BodyError as error:
            return self._refuse(question, 400, str(error))
        model = asked.model
        if not isinstance(model, str) or not model:
            return self._refuse_without_model(question, model)
        if question.path == RESPONSES and isinstance(asked.previous_response_id, str):
            question.body = memoryview(bytes(question.body))
            return self._of_response(question, asked.previous_response_id, model)
        return self._route(question, model)

    def after_failure(self, question: Question, *, connected: bool, status: int, name: str) -> bytes:
        """Return the answer to nginx after a replica did not answer: another one, or the error."""
        now, flight = self._fleet.now(), self._flights.get(question.key)
        if flight is None or name not in (flight.replica.name, *flight.replica.place.addresses):
            return self._refuse(question, 502, "cannot tell how this request ended: the router was restarted")
        if connected:
            flight.replica.request_broke(now)
            message = "cannot wait longer for a backend" if status == 504 else _BROKEN
            return self._refuse(question, status, message, flight)
        flight.replica.connection_failed(now)
        flight.tried.append(flight.replica)
        generation = min(question.generation, flight.generation)
        replica = self._choose(flight.target.replicas, generation, flight.tried)
        if replica is None:
            return self._refuse_unready(question, flight.model, flight.target)
        self._flights.move(flight, replica)
        return self._accept(flight.target, replica, generation)

    def _read(self, question: Question) -> Asked:
        """Return what the body asks for; BodyError if it cannot be read."""
        if question.content_type.startswith("multipart/form-data"):
            return read_form(question.content_type, bytes(question.body))
        return read_json(question.body)

    def _route(self, question: Question, model: str) -> bytes:
        """Return the answer for a request to a model, whatever its body."""
        target = self._fleet.targets.get(model)
        if target is None:
            return self._refuse_unknown(question, model)
        if target.state != "serving":
            return self._refuse_absent(question, model, target.state)
        hit: bool | None = None
        if target.backend.routing == PREFIX and len(target.replicas) > 1 and not question.model:
            replica, hit = self._choose_by_prefix(question, model, target)
        else:
            replica = self._choose(target.replicas, question.generation)
        if replica is None:
            return self._refuse_unready(question, model, target)
        return self._begin(question, Flight(replica=replica, target=target, model=model, hit=hit))

    def _of_websocket(self, question: Question) -> bytes:
        """Return the answer for a websocket: its model is in the query, as messages come later."""
        model = question.model or (parse_qs(question.query).get("model") or [""])[-1]
        if not model:
            message = f"cannot choose a backend for a websocket without its model: {REALTIME}?model=MODEL"
            return self._refuse(
                question,
                400,
                message,
                param="model",
                code="missing_required_field",
                kind="invalid_request_error",
            )
        target = self._fleet.targets.get(model)
        if target is not None and target.written_as is not None:
            message = f"cannot rename the model `{model}` in the messages of a websocket: use its own name, "
            return self._refuse(question, 400, f"{message}`{target.written_as}`", param="model")
        question.model = model
        return self._route(question, model)

    def _begin(self, question: Question, flight: Flight) -> bytes:
        """Count a request as running; return the answer that sends it to its replica."""
        flight.route = flight.route or question.path
        flight.generation, flight.worker = question.generation, question.worker
        self._flights.begin(question.key, flight)
        return self._accept(flight.target, flight.replica, question.generation)

    def _choose(
        self, replicas: Iterable[Replica], generation: int, tried: Iterable[Replica] = ()
    ) -> Replica | None:
        """Return the usable replica with the fewest running requests; of equals the one unused longest."""
        now, best = self._fleet.now(), None
        for replica in replicas:
            if not replica.usable(now, generation) or replica in tried:
                continue
            if best is None or (replica.running, replica.chosen_at) < (best.running, best.chosen_at):
                best = replica
        if best is not None:
            best.chosen_at = next(self._turn)
        return best

    def _choose_by_prefix(
        self, question: Question, model: str, target: Target
    ) -> tuple[Replica | None, bool]:
        """Return (replica, whether it had the prompt's beginning); one with far more to do is not taken."""
        now = self._fleet.now()
        usable = [one for one in target.replicas if one.usable(now, question.generation)]
        blocks = self.prefixes.blocks(model, question.body)
        found = self.prefixes.find(blocks, usable) if usable else None
        replica = found or self._choose(usable, question.generation)
        if replica is not None:
            self.prefixes.note(blocks, replica)
        return replica, found is not None

    @staticmethod
    def _accept(target: Target, replica: Replica, generation: int) -> bytes:
        """Return the answer that sends the request to a replica; with its model renamed if need be."""
        if target.written_as is not None:
            return _REWRITTEN.format(replica.name).encode()
        return replica.acceptance(generation)

    async def _of_response(self, question: Question, response_id: str, model: str | None = None) -> bytes:
        """Return the answer for a request about a stored response: it goes to the replica that has it.

        For a new response to one that nobody has, any replica of its model will say so.
        """
        candidates = self._fleet.ready_replicas()
        replica = await self._find_response(response_id, candidates)
        if replica is None and model is not None:
            return self._route(question, model)
        if replica is None:
            if not candidates:
                return self._refuse_nobody(question)
            message = f"Response with id '{response_id}' not found."
            return self._refuse(question, 404, message, param="response_id")
        target = self._fleet.targets.get(model or "")
        if model is not None and (target is None or replica not in target.replicas):
            return self._route(question, model)
        if not replica.usable(self._fleet.now(), question.generation):
            return self._refuse_nobody(question)
        target = target or Target(backend=replica.backend, replicas=[replica])
        own = Target(backend=replica.backend, replicas=[replica], written_as=target.written_as)
        route = question.path if model else RESPONSES + "/{response_id}"
        return self._begin(question, Flight(replica=replica, target=own, model=model or "", route=route))

    # errors

    def _refuse(
        self,
        question: Question,
        status: int,
        message: str,
        flight: Flight | None = None,
        *,
        param: str | None = None,
        code: str | None = None,
        kind: str | None = None,
        retry_seconds: int | None = None,
    ) -> bytes:
        """Return an error as the answer, and count it."""
        self.refused(flight.route if flight else question.path, status)
        return error_answer(
            status,
            message,
            route=flight.route if flight else question.path,
            request_id=question.request_id,
            param=param,
            code=code,
            kind=kind,
            retry_seconds=retry_seconds,
        )

    def _refuse_without_model(self, question: Question, model: object) -> bytes:
        """Return the error for a request that names no model."""
        found = "it is missing" if model is None else "it is empty" if model == "" else "it is not a string"
        message = f"cannot choose a backend without the field `model`: {found}; GET /v1/models has the models"
        return self._refuse(
            question, 400, message, param="model", code="missing_required_field", kind="invalid_request_error"
        )

    def _refuse_unknown(self, question: Question, model: str) -> bytes:
        """Return the error for a model that is not in the table: unknown, or not known yet."""
        if self._fleet.incomplete:
            message = (
                f"cannot tell yet whether there is a model `{model}`: a backend has not listed its models"
            )
            seconds = self._fleet.retry_seconds(self._fleet.replicas.values())
            return self._refuse(question, 503, message, retry_seconds=seconds)
        return self._refuse(question, 404, f"The model `{model}` does not exist.", param="model")

    def _refuse_absent(self, question: Question, model: str, state: str) -> bytes:
        """Return the error for a model that is offline or retired."""
        if state == RETIRED:
            message = f"The model `{model}` has been retired; GET /v1/models has those that can be called."
            return self._refuse(question, 410, message, param="model")
        assert state == OFFLINE
        message = f"The model `{model}` is offline; GET /v1/models has those that can be called."
        return self._refuse(question, 503, message, param="model", retry_seconds=OFFLINE_RETRY_SECONDS)

    def _refuse_unready(self, question: Question, model: str, target: Target) -> bytes:
        """Return the error for a model of which no replica takes requests now."""
        count_of = len(target.replicas)
        message = (
            f"The model `{model}` has no replica that takes requests now "
            f"(of {count_of}); GET /v1/health/ready has the reasons"
        )
        seconds = self._fleet.retry_seconds(target.replicas)
        return self._refuse(question, 503, message, param="model", retry_seconds=seconds)

    def _refuse_nobody(self, question: Question) -> bytes:
        """Return the error for a request that no ready replica can answer."""
        seconds = self._fleet.retry_seconds(self._fleet.replicas.values())
        message = "no backend takes requests now; GET /v1/health/ready has the reasons"
        return self._refuse(question, 503, message, retry_seconds=seconds)


_BROKEN = (
    "cannot finish this request: the backend closed the connection before it answered; it was not sent again"
)
