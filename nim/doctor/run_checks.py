"""Run all checks in order, one at a time."""

from collections.abc import AsyncIterator, Callable

from nim.doctor.checks.client_disconnects import disconnect_findings
from nim.doctor.checks.context import CheckContext, Limits
from nim.doctor.checks.find_body_size_limit import body_limit_findings
from nim.doctor.checks.headers_health_and_errors import error_findings, header_findings, health_findings
from nim.doctor.checks.measure_event_timing import timing_findings
from nim.doctor.checks.measure_idle_timeouts import idle_timeout_findings
from nim.doctor.findings import Finding, Verdict
from nim.doctor.http_client import ConnectionCut, ServiceClient
from nim.doctor.identify_service import Service

__all__ = ["Limits", "examine"]

# Name of a check's finding when its connection breaks before it has found anything.
CHECKS: tuple[tuple[str, Callable[[CheckContext], AsyncIterator[Finding]]], ...] = (
    ("events", timing_findings),
    ("request-id", header_findings),
    ("health", health_findings),
    ("body", body_limit_findings),
    ("disconnect-stream", disconnect_findings),
    ("silence", idle_timeout_findings),
    ("error-pages", error_findings),
)


async def examine(client: ServiceClient, service: Service, limits: Limits) -> AsyncIterator[Finding]:
    """Run all checks in order, yielding each Finding at once; a check that breaks off yields a failure."""
    context = CheckContext(client=client, service=service, limits=limits)
    for name, check in CHECKS:
        try:
            async for finding in check(context):
                yield finding
        except ConnectionCut as cut:
            yield Finding(check=name, verdict=Verdict.FAIL, seen=f"the check was cut short: {cut.how}")
        except TimeoutError:
            yield Finding(check=name, verdict=Verdict.FAIL, seen="the check got no answer in time")
