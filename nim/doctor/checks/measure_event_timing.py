"""Check that stream events arrive when they are generated, by comparing them with the engine's metrics."""

from collections.abc import AsyncIterator, Sequence
from math import ceil

from nim.doctor.checks.context import CheckContext
from nim.doctor.checks.sse_framing import framing_findings
from nim.doctor.findings import Fact, Finding, Verdict, milliseconds
from nim.doctor.scrape_engine_metrics import BETWEEN_TOKENS, FIRST_TOKEN
from nim.doctor.timed_stream import Stream
from nim.frozen_dataclass import frozen_dataclass

TOKENS, MOST_TOKENS = 64, 1024
LEAST_STREAM_SECONDS = 2.0
FEWEST_EVENTS = 8
ATTEMPTS, ENOUGH, CLEARLY = 5, 2, 0.1
"""A buffering proxy delays every stream, a busy machine only some: two clear streams are enough."""

MERGED_IS_ODD, MERGED_IS_BAD = 0.25, 0.5
BUFFERED_SECONDS = 0.5


@frozen_dataclass
class TimedStream:
    """A stream and the engine's own timing of it, if no other request was served meanwhile."""

    stream: Stream
    engine_first_seconds: float | None
    engine_gap_seconds: float | None

    @property
    def buffered(self) -> bool:
        """Return whether all events came at once, or the first came when most had been generated."""
        stream, made = self.stream, self.engine_first_seconds
        if stream.pieces <= 2:
            return True
        late = stream.arrivals[0] - made if made is not None else 0.0
        return late > BUFFERED_SECONDS and late > (stream.seconds - (made or 0.0)) / 2

    @property
    def looks_bad(self) -> bool:
        """Return whether the stream seems buffered or its events merged."""
        if len(self.stream.arrivals) < FEWEST_EVENTS:
            return False
        return self.buffered or self.stream.merged_share > MERGED_IS_ODD

    @property
    def inconclusive(self) -> bool:
        """Return whether the merged events are explained by this process having read late."""
        return self.stream.merged_share > MERGED_IS_ODD >= self.stream.unexplained_share


async def timing_findings(context: CheckContext) -> AsyncIterator[Finding]:
    """Measure streams; yield Findings on buffering, merged events and framing."""
    timed = await _best_of(context)
    for finding in _findings(context, timed):
        yield finding
    for finding in framing_findings(context.service, timed.stream):
        yield finding


def _findings(context: CheckContext, timed: TimedStream) -> Sequence[Finding]:
    """Return the Findings on buffering and merged events; set `context.token_seconds` by the way."""
    stream = timed.stream
    if len(stream.arrivals) < FEWEST_EVENTS:
        return _unknown(f"too few events to judge: {len(stream.arrivals)} of {TOKENS} tokens")
    context.token_seconds = timed.engine_gap_seconds or stream.seconds / len(stream.arrivals)
    if timed.inconclusive:
        late, whole = milliseconds(stream.late_seconds), milliseconds(stream.seconds)
        return _unknown(f"this machine is too busy to judge: it read late for {late} of {whole}")
    return _buffering(timed), _events(timed)


async def _best_of(context: CheckContext) -> TimedStream:
    """Return the best TimedStream of up to five: a suspicious one is repeated, longer each time."""
    timed, tokens = [await _measure(context, min(TOKENS, context.most_tokens))], TOKENS
    while timed[-1].looks_bad and len(timed) < ATTEMPTS:
        if sum(each.stream.late_share < CLEARLY for each in timed) == ENOUGH:
            break
        tokens = ceil(tokens * max(1, LEAST_STREAM_SECONDS / timed[-1].stream.seconds))
        timed.append(await _measure(context, min(tokens, MOST_TOKENS, context.most_tokens)))
    return min(timed, key=lambda each: (each.looks_bad, max(each.stream.late_share, CLEARLY), each.buffered))


async def _measure(context: CheckContext, tokens: int) -> TimedStream:
    """Request a stream of this many tokens; return the TimedStream with the engine's own timing."""
    before = await context.counts()
    stream = await context.api.listen(tokens)
    after = await context.counts()
    first = after.mean_since(before, FIRST_TOKEN, 1) if before and after else None
    gap = after.mean_since(before, BETWEEN_TOKENS, tokens) if before and after else None
    return TimedStream(stream=stream, engine_first_seconds=first, engine_gap_seconds=gap)


def _unknown(seen: str) -> Sequence[Finding]:
    """Return two Findings with verdict unknown, on buffering and on events, for the reason `seen`."""
    return [Finding(check=check, verdict=Verdict.UNKNOWN, seen=seen) for check in ("buffering", "events")]


def _buffering(timed: TimedStream) -> Finding:
    """Return the Finding on whether the whole answer arrives at once at its end."""
    stream, made = timed.stream, timed.engine_first_seconds
    said = f" (made after {milliseconds(made)})" if made is not None else ""
    first, end = milliseconds(stream.arrivals[0]), milliseconds(stream.seconds)
    seen = f"first event after {first}{said}, the end after {end}"
    facts: dict[str, Fact] = {
        "first_event_seconds": stream.arrivals[0],
        "engine_first_token_seconds": made,
        "head_seconds": stream.header_seconds,
        "seconds": stream.seconds,
    }
    if timed.buffered:
        seen = f"all at once at the end: {seen}"
        return Finding(check="buffering", verdict=Verdict.FAIL, seen=seen, facts=facts)
    return Finding(check="buffering", verdict=Verdict.OK, seen=seen, facts=facts)


def _events(timed: TimedStream) -> Finding:
    """Return the Finding on events that arrive merged: OK, WARN or FAIL by their share."""
    stream, made = timed.stream, timed.engine_gap_seconds
    median, late, most = stream.gap_percentile(50), stream.gap_percentile(99), max(stream.gaps)
    facts: dict[str, Fact] = {
        "events": len(stream.arrivals),
        "pieces": stream.pieces,
        "merged_share": stream.merged_share,
        "late_seconds": stream.late_seconds,
        "gap_p50_seconds": median,
        "gap_p99_seconds": late,
        "gap_max_seconds": most,
        "engine_gap_mean_seconds": made,
    }
    if timed.buffered:
        seen = "cannot be determined while the whole stream is held back"
        return Finding(check="events", verdict=Verdict.UNKNOWN, seen=seen, facts=facts)
    said = f" (made each {milliseconds(made)})" if made is not None else ""
    seen = (
        f"{len(stream.arrivals)} events in {stream.pieces} pieces; gaps p50 {milliseconds(median)}{said}, "
        f"p99 {milliseconds(late)}, longest {milliseconds(most)}"
    )
    share = stream.unexplained_share
    verdict = Verdict.FAIL if share > MERGED_IS_BAD else Verdict.WARN if share > MERGED_IS_ODD else Verdict.OK
    return Finding(check="events", verdict=verdict, seen=seen, facts=facts)
