"""Whether each event arrives when it was made: a stream, beside what the engine counted meanwhile."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from nim.ingress.exam import Exam
from nim.ingress.findings import Fact, Finding, Verdict, milliseconds
from nim.ingress.metrics import BETWEEN_TOKENS, FIRST_TOKEN
from nim.ingress.stream import Stream

TOKENS = 64
FEWEST_EVENTS = 8
ATTEMPTS = 3
"""A proxy that holds back does so each time; a busy machine, here or there, only sometimes."""

MERGED_IS_ODD, MERGED_IS_BAD = 0.25, 0.5
HELD_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A stream, and the engine's own account of it where nobody else was served meanwhile."""

    stream: Stream
    engine_first_seconds: float | None
    engine_gap_seconds: float | None

    @property
    def held_back(self) -> bool:
        """All came at once, or the first came when most had been made."""
        stream, made = self.stream, self.engine_first_seconds
        if stream.pieces <= 2:
            return True
        late = stream.arrivals[0] - made if made is not None else 0.0
        return late > HELD_SECONDS and late > (stream.seconds - (made or 0.0)) / 2


async def check_pace(exam: Exam) -> AsyncIterator[Finding]:
    """The best of some streams; what is said about the form of the answer is the same in each."""
    heard = await _best(exam)
    stream = heard.stream
    if len(stream.arrivals) < FEWEST_EVENTS:
        seen = f"too few events to tell: {len(stream.arrivals)} of {TOKENS} tokens"
        yield Finding(check="buffering", verdict=Verdict.UNKNOWN, seen=seen)
        yield Finding(check="events", verdict=Verdict.UNKNOWN, seen=seen)
    else:
        exam.token_seconds = heard.engine_gap_seconds or stream.seconds / len(stream.arrivals)
        yield _buffering(heard)
        yield _events(heard)
    yield _compression(stream)
    yield _framing(stream)
    yield _accel(exam, stream)


async def _best(exam: Exam) -> Heard:
    best: Heard | None = None
    for _ in range(ATTEMPTS):
        heard = await _listen(exam)
        few = len(heard.stream.arrivals) < FEWEST_EVENTS
        if few or (not heard.held_back and heard.stream.merged_share <= MERGED_IS_ODD):
            return heard
        if best is None or heard.stream.merged_share < best.stream.merged_share:
            best = heard
    assert best
    return best


async def _listen(exam: Exam) -> Heard:
    before = await exam.counts()
    stream = await exam.speech.listen(min(TOKENS, exam.most_tokens))
    after = await exam.counts()
    first = after.mean_since(before, FIRST_TOKEN, 1) if before and after else None
    gap = after.mean_since(before, BETWEEN_TOKENS, TOKENS) if before and after else None
    return Heard(stream=stream, engine_first_seconds=first, engine_gap_seconds=gap)


def _buffering(heard: Heard) -> Finding:
    stream, made = heard.stream, heard.engine_first_seconds
    said = f" (made after {milliseconds(made)})" if made is not None else ""
    first, end = milliseconds(stream.arrivals[0]), milliseconds(stream.seconds)
    seen = f"first event after {first}{said}, the end after {end}"
    facts: dict[str, Fact] = {
        "first_event_seconds": stream.arrivals[0],
        "engine_first_token_seconds": made,
        "head_seconds": stream.header_seconds,
        "seconds": stream.seconds,
    }
    if heard.held_back:
        seen = f"all at once at the end: {seen}"
        return Finding(check="buffering", verdict=Verdict.FAIL, seen=seen, facts=facts)
    return Finding(check="buffering", verdict=Verdict.OK, seen=seen, facts=facts)


def _events(heard: Heard) -> Finding:
    stream, made = heard.stream, heard.engine_gap_seconds
    median, late, most = stream.gap_percentile(50), stream.gap_percentile(99), max(stream.gaps)
    facts: dict[str, Fact] = {
        "events": len(stream.arrivals),
        "pieces": stream.pieces,
        "merged_share": stream.merged_share,
        "gap_p50_seconds": median,
        "gap_p99_seconds": late,
        "gap_max_seconds": most,
        "engine_gap_mean_seconds": made,
    }
    if heard.held_back:
        seen = "cannot be told while the whole stream is held back"
        return Finding(check="events", verdict=Verdict.UNKNOWN, seen=seen, facts=facts)
    said = f" (made each {milliseconds(made)})" if made is not None else ""
    seen = (
        f"{len(stream.arrivals)} events in {stream.pieces} pieces; gaps p50 {milliseconds(median)}{said}, "
        f"p99 {milliseconds(late)}, longest {milliseconds(most)}"
    )
    share = stream.merged_share
    verdict = Verdict.FAIL if share > MERGED_IS_BAD else Verdict.WARN if share > MERGED_IS_ODD else Verdict.OK
    return Finding(check="events", verdict=verdict, seen=seen, facts=facts)


def _compression(stream: Stream) -> Finding:
    coding = stream.headers.get("Content-Encoding", "identity")
    if coding == "identity":
        return Finding(check="compression", verdict=Verdict.OK, seen="streams come as they were made")
    seen = f"streams are compressed on the way: Content-Encoding: {coding}"
    return Finding(check="compression", verdict=Verdict.WARN, seen=seen)


def _framing(stream: Stream) -> Finding:
    headers, kind = stream.headers, stream.headers.get("Content-Type", "")
    faults = [f"HTTP/{stream.version}"] if stream.version != "1.1" else []
    if not kind.startswith("text/event-stream"):
        faults.append(f"Content-Type is '{kind}'")
    if "Content-Length" in headers:
        faults.append("a stream with a Content-Length: it was collected first")
    elif headers.get("Transfer-Encoding", "").lower() != "chunked":
        faults.append("not chunked: a stream that was cut looks like one that has ended")
    if faults:
        return Finding(check="framing", verdict=Verdict.WARN, seen="; ".join(faults))
    return Finding(check="framing", verdict=Verdict.OK, seen="HTTP/1.1, chunked, text/event-stream")


def _accel(exam: Exam, stream: Stream) -> Finding:
    """An nginx takes this header for itself, so that its absence proves nothing."""
    value = stream.headers.get("X-Accel-Buffering")
    if value == "no":
        seen = "X-Accel-Buffering: no is there for a proxy further out"
        return Finding(check="accel-buffering", verdict=Verdict.OK, seen=seen)
    seen = "no X-Accel-Buffering" + (
        ": an nginx in between takes it for itself; a further one would not see it"
        if exam.service.ours
        else ""
    )
    return Finding(check="accel-buffering", verdict=Verdict.UNKNOWN, seen=seen)
