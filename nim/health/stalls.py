"""Notices an engine that stands still: by its own counters and, when it is idle, by asking for one token."""

from collections.abc import Callable
from dataclasses import dataclass

from nim.event_loop import EventLoop, Timer
from nim.health.engine_counters import EngineCounters, read_counters
from nim.health.http_request import Address, HttpRequest, address_of, get, post
from nim.health.stall_rule import StallRule
from nim.plan import Plan

# A look costs vLLM 4 ms of CPU. The share of a time-out that an unanswered probe is granted.
LOOKS, GRACE = 12, 1 / 3
SOONEST_LOOK_SECONDS, LATEST_LOOK_SECONDS = 0.1, 5.0
# What a look is granted before there is another, or a verdict without it.
ANSWER_SECONDS = 0.02
# After so many further time-outs the engine is given up. With the default that is the 300 s which vLLM itself
# grants its workers for one step.
GIVE_UP_TIMEOUTS = 5
# Who was not looking for so long has no right to judge: this process, or its whole container, was frozen.
MISSED_LOOKS = 4
FOUND, NOT_FOUND = 200, 404

# The first that the engine has is asked. A token by its number needs no tokenizer and fills no block of the
# prefix cache.
_PROBES = (
    ("/v1/completions", '{"prompt":[0],"max_tokens":1,"temperature":0}'),
    ("/pooling", '{"input":[0]}'),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StallCallbacks:
    """Who is told. `flowing`: it works again; `hopeless`: it has stood still for too long."""

    say: Callable[[str, str], None]
    stalled: Callable[[str], None]
    recovered: Callable[[], None]
    given_up: Callable[[str], None]


class StallDetector:
    """Looks at a ready engine from `begin` to `end`. `why` says what is wrong while it stands still."""

    def __init__(self, plan: Plan, loop: EventLoop, callbacks: StallCallbacks, api_key: str | None) -> None:
        self._loop, self._callbacks, self._key = loop, callbacks, api_key
        self._address: Address = address_of(plan.engine)
        self._timeout = plan.stall_timeout_seconds
        self._probe_interval = plan.probe_interval_seconds
        self._pause = min(max(self._timeout / LOOKS, SOONEST_LOOK_SECONDS), LATEST_LOOK_SECONDS)
        self.why: str | None = None
        self.since = 0.0
        self._seen = False
        self._timer: Timer | None = None
        self._look_out: HttpRequest | None = None
        self._probe_out: HttpRequest | None = None

    def begin(self) -> None:
        """The engine is ready."""
        self.end()
        self._seen = False
        if self._timeout:
            self._probes = list(_PROBES) if self._probe_interval else []
            # What was done right after a look is seen by the next; and every answer takes its time.
            limit = max(self._timeout - 2 * self._pause, self._timeout / 2)
            grace = self._timeout * GRACE
            self._patience = StallRule(limit=limit, grace=grace, began_at=self._loop.now())
            self._turned_at = self._loop.now()
            self._timer = self._loop.after(0, self._turn)

    def end(self) -> None:
        """Look no more."""
        for pending in (self._timer, self._look_out, self._probe_out):
            if pending:
                pending.cancel()
        self._timer = self._look_out = self._probe_out = self.why = None

    def _turn(self) -> None:
        """Judge, and look again."""
        now = self._loop.now()
        if now - self._turned_at > MISSED_LOOKS * self._pause:
            self._patience.begin_anew(now)
        self._turned_at = now
        self._timer = self._loop.after(self._until_next(now), self._turn)
        if self._look_out is None:
            longest = self._timeout * (GIVE_UP_TIMEOUTS + 1)
            self._look_out = HttpRequest(self._loop, self._address, get("/metrics"), longest, self._looked)
        else:
            self._judge()

    def _until_next(self, now: float) -> float:
        """Sooner than usual where something falls due before: a probe, or a verdict."""
        due = (*self._patience.due(), self._patience.alive_at + self._probe_interval)
        return min([self._pause, *(max(at - now, ANSWER_SECONDS) for at in due if at > now)])

    def _looked(self, status: int, body: bytes) -> None:
        self._look_out = None
        if not status:
            return
        vitals = read_counters(body)
        if vitals is None and (self._seen or status not in (FOUND, NOT_FOUND)):
            self._patience.heard_at = self._loop.now()
            return
        if vitals is None:
            self.end()
            self._callbacks.say(
                "INFO", f"stalls are not looked for: the engine's metrics ({status}) do not tell"
            )
            return
        self._seen = True
        self._patience.see(vitals, self._loop.now())
        self._judge()
        if self._timer:
            self._probe(vitals)

    def _probe(self, vitals: EngineCounters) -> None:
        """When nothing has been seen of it for so long: it is idle, or what it does takes its time."""
        now = self._loop.now()
        due = self._patience.alive_at + self._probe_interval
        if self._probes and self._probe_out is None and not vitals.asleep and now >= due:
            if self._patience.asked_at is None:
                self._patience.asked(now)
            request = post(*self._probes[0], self._key)
            longest = self._timeout * (GIVE_UP_TIMEOUTS + 1)
            self._probe_out = HttpRequest(self._loop, self._address, request, longest, self._probed)

    def _probed(self, status: int, _: bytes) -> None:
        self._probe_out = None
        if not status:  # nobody has said anything: it goes on being asked
            return
        self._patience.answered(self._loop.now(), by_the_model=status == FOUND)
        if status == NOT_FOUND:
            self._probes.pop(0)
        elif status != FOUND:
            self._probes.clear()
        if not self._probes:
            self._callbacks.say(
                "INFO", f"the engine is not probed any more: it answers a probe with {status}"
            )
        self._judge()

    def _judge(self) -> None:
        before, now = self.why, self._loop.now()
        self.why = self._patience.verdict(now)
        if self.why and not before:
            self.since = now
            self._callbacks.stalled(self.why)
        elif before and not self.why:
            self._callbacks.recovered()
        elif self.why and now - self.since >= GIVE_UP_TIMEOUTS * self._timeout:
            self._callbacks.given_up(self.why)
