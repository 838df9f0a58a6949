"""Check the framing and encoding of a streamed answer."""

from collections.abc import Iterator

from nim.doctor.findings import Finding, Verdict
from nim.doctor.identify_service import Service
from nim.doctor.timed_stream import Stream


def framing_findings(service: Service, stream: Stream) -> Iterator[Finding]:
    """Yield three Findings, good or bad: on a stream's compression, its framing and X-Accel-Buffering."""
    yield _compression(stream)
    yield _framing(stream)
    yield _accel(service, stream)


def _compression(stream: Stream) -> Finding:
    """Return the Finding on compression, by the stream's Content-Encoding."""
    coding = stream.headers.get("Content-Encoding", "identity")
    if coding == "identity":
        return Finding(check="compression", verdict=Verdict.OK, seen="streams come as they were made")
    seen = f"streams are compressed on the way: Content-Encoding: {coding}"
    return Finding(check="compression", verdict=Verdict.WARN, seen=seen)


def _framing(stream: Stream) -> Finding:
    """Return the Finding on HTTP version, Content-Type and chunked encoding of the stream."""
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


def _accel(service: Service, stream: Stream) -> Finding:
    """Return the Finding on X-Accel-Buffering, which an nginx in front consumes."""
    value = stream.headers.get("X-Accel-Buffering")
    if value == "no":
        seen = "X-Accel-Buffering: no is there for a proxy further out"
        return Finding(check="accel-buffering", verdict=Verdict.OK, seen=seen)
    seen = "no X-Accel-Buffering" + (
        ": an nginx in between takes it for itself; a further one would not see it" if service.ours else ""
    )
    return Finding(check="accel-buffering", verdict=Verdict.UNKNOWN, seen=seen)
