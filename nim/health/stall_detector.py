"""Detect a stalled engine by its counters and, when it is idle, by a one-token probe."""

from collections.abc import Callable

from nim.event_loop import EventLoop, Timer
from nim.frozen_dataclass import frozen_dataclass
from nim.health.http_request import Address, HttpRequest, address_of, get, post
from nim.health.parse_engine_counters import EngineCounters, read_counters
from nim.health.stall_rule import StallRule
from nim.plan import Plan

# Reading /metrics costs vLLM 4 ms of CPU. GRACE: share of the timeout for an unanswered probe.
READINGS, GRACE = 12, 1 / 3
MIN_INTERVAL_SECONDS, MAX_INTERVAL_SECONDS = 0.1, 5.0
# How long a reading may take before the next one or a verdict without it.
ANSWER_SECONDS = 0.02
# The engine is killed after this many further timeouts. By default that is 300 s, the time vLLM itself
# grants its workers for one step.
GIVE_UP_TIMEOUTS = 5
# After a pause of this many intervals no verdict is given: this process or its container was frozen.
MISSED_READINGS = 4
FOUND, NOT_FOUND = 200, 404
METRICS, HEALTH = "/metrics", "/health"

# The first route that the engine has is used. A prompt given as a token id needs no tokenizer and fills no
# block of the prefix cache.
_PROBES = (
    ("/v1/completions", '{"prompt":[0],"max_tokens":1,"temperature":0}'),
    ("/pooling", '{"input":[0]}'),
)


@frozen_dataclass
class StallCallbacks:
    """`recovered`: the engine works again. `given_up`: it has been stalled for too long."""

    say: Callable[[str, str], None]
    stalled: Callable[[str], None]
    recovered: Callable[[], None]
    given_up: Callable[[str], None]


class StallDetector:
    """Watches a ready engine from `begin` to `end`. `why` is the reason while it is stalled."""

    def __init__(self, plan: Plan, loop: EventLoop, callbacks: StallCallbacks, api_key: str | None) -> None:
        self._loop, self._callbacks, self._key = loop, callbacks, api_key
        self._address: Address = address_of(plan.engine)
        self._timeout = plan.stall_timeout_seconds
        self._probe_interval = plan.probe_interval_seconds
        self._interval = min(max(self._timeout / READINGS, MIN_INTERVAL_SECONDS), MAX_INTERVAL_SECONDS)
        self.why: str | None = None
        self.since = 0.0
        self._has_counters = False
        self._timer: Timer | None = None
        self._reading: HttpRequest | None = None
        self._pending_probe: HttpRequest | None = None

    def begin(self) -> None:
        """Start watching a ready engine for stalls; nothing if the stall timeout is 0."""
        self.end()
        self._has_counters = False
        if self._timeout:
            self._path = METRICS
            self._probes = list(_PROBES) if self._probe_interval else []
            # Work done right after one reading shows only in the next, and every answer takes time.
            limit = max(self._timeout - 2 * self._interval, self._timeout / 2)
            grace = self._timeout * GRACE
            self._rule = StallRule(limit=limit, grace=grace, began_at=self._loop.now())
            self._last_turn_at = self._loop.now()
            self._timer = self._loop.after(0, self._turn)

    def end(self) -> None:
        """Stop watching: cancel pending requests and forget a stall, without calling back."""
        for pending in (self._timer, self._reading, self._pending_probe):
            if pending:
                pending.cancel()
        self._timer = self._reading = self._pending_probe = self.why = None

    def _turn(self) -> None:
        """Schedule the next turn; request the counters, or judge the engine if a request is unanswered."""
        now = self._loop.now()
        if now - self._last_turn_at > MISSED_READINGS * self._interval:
            self._rule.reset(now)
        self._last_turn_at = now
        self._timer = self._loop.after(self._until_next(now), self._turn)
        if self._reading is None:
            longest = self._timeout * (GIVE_UP_TIMEOUTS + 1)
            self._reading = HttpRequest(self._loop, self._address, get(self._path), longest, self._on_metrics)
        else:
            self._judge()

    def _until_next(self, now: float) -> float:
        """Return the seconds until the next reading: sooner if a probe or a verdict falls due before."""
        due = (*self._rule.due(), self._rule.progress_at + self._probe_interval)
        return min([self._interval, *(max(at - now, ANSWER_SECONDS) for at in due if at > now)])

    def _on_metrics(self, status: int, body: bytes) -> None:
        """Record the counters in an answer of /metrics, judge the engine, and send a probe if one is due."""
        self._reading = None
        if not status:  # a refused connection is silence, too: an engine without its socket serves nobody
            self._judge()
            return
        counters = read_counters(body)
        if counters is None:
            self._rule.answered_at = self._loop.now()
            if self._path == METRICS and not self._has_counters and status in (FOUND, NOT_FOUND):
                self._watch_answers_only(status)
            self._judge()
            return
        self._has_counters = True
        self._rule.observe(counters, self._loop.now())
        self._judge()
        if self._timer:
            self._probe(counters)

    def _watch_answers_only(self, status: int) -> None:
        """Request /health instead of /metrics from now on, and log why: only silence shows then."""
        self._path = HEALTH
        why = f"its metrics ({status}) lack the counters"
        self._callbacks.say("INFO", f"stalls cannot be detected, only whether the engine answers: {why}")

    def _probe(self, counters: EngineCounters) -> None:
        """Send a one-token request if no work was seen for the probe interval and none is pending."""
        now = self._loop.now()
        due = self._rule.progress_at + self._probe_interval
        if self._probes and self._pending_probe is None and not counters.asleep and now >= due:
            if self._rule.probed_at is None:
                self._rule.probe_sent(now)
            request = post(*self._probes[0], self._key)
            longest = self._timeout * (GIVE_UP_TIMEOUTS + 1)
            self._pending_probe = HttpRequest(self._loop, self._address, request, longest, self._on_probed)

    def _on_probed(self, status: int, _: bytes) -> None:
        """Record the answer to a probe and judge the engine; stop probing if it answers with an error."""
        self._pending_probe = None
        if not status:  # no answer: the probe stays pending
            return
        self._rule.probe_answered(self._loop.now(), by_the_model=status == FOUND)
        if status == NOT_FOUND:
            self._probes.pop(0)
        elif status != FOUND:
            self._probes.clear()
        if not self._probes:
            self._callbacks.say("INFO", f"the engine is no longer probed: it answers a probe with {status}")
        self._judge()

    def _judge(self) -> None:
        """Apply the stall rule; call `stalled`, `recovered`, or `given_up` if a stall lasted too long."""
        before, now = self.why, self._loop.now()
        self.why = self._rule.verdict(now)
        if self.why and not before:
            self.since = now
            self._callbacks.stalled(self.why)
        elif before and not self.why:
            self._callbacks.recovered()
        elif self.why and now - self.since >= GIVE_UP_TIMEOUTS * self._timeout:
            self._callbacks.given_up(self.why)
