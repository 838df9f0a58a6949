"""Checks of the health routes, as the kubelet and the documentation use them."""

from tests.conformance.check import Check, Failed, Skipped, check, expect
from tests.conformance.target import NoAnswer, Target, ask

PROBES: list[Check] = []
DOCUMENTED = "NIM documentation, health routes"
OPERATOR = "NIM operator, default probes"
# What its probes and those of the Helm chart grant, and how many failures in a row they bear.
PROBE_SECONDS = 1.0
FAILURES = 3
ROUNDS = 12


def body(word: str) -> bytes:
    """Return the documented answer, without a blank: 61 bytes for live, 63 for ready."""
    return f'{{"object":"health.response","message":"{word}","status":"{word}"}}'.encode()


def _status(target: Target, word: str) -> None:
    status = target.get(f"/v1/health/{word}").status
    expect(status == 200, f"answers {status}, not 200")


def _body(target: Target, word: str) -> None:
    found = target.get(f"/v1/health/{word}").body
    expect(found == body(word), f"{len(found)} bytes {found[:90]!r}, not the documented {len(body(word))}")


def _headers(target: Target, word: str) -> None:
    headers = target.get(f"/v1/health/{word}").headers
    kind, cache = headers.get("content-type", ""), headers.get("cache-control", "")
    expect(kind.startswith("application/json"), f"Content-Type is {kind!r}")
    missing = {"no-store", "no-cache", "must-revalidate"} - {part.strip() for part in cache.split(",")}
    expect(not missing, f"Cache-Control is {cache!r}")


@check(PROBES, "live answers 200", DOCUMENTED, "C1")
def live_status(target: Target) -> None:
    _status(target, "live")


@check(PROBES, "live has the documented body", DOCUMENTED, "C1")
def live_body(target: Target) -> None:
    _body(target, "live")


@check(PROBES, "live is JSON that nobody may keep", DOCUMENTED, "C1")
def live_headers(target: Target) -> None:
    _headers(target, "live")


@check(PROBES, "ready answers 200", DOCUMENTED, "C2")
def ready_status(target: Target) -> None:
    _status(target, "ready")


@check(PROBES, "ready has the documented body", DOCUMENTED, "C2")
def ready_body(target: Target) -> None:
    _body(target, "ready")


@check(PROBES, "ready is JSON that nobody may keep", DOCUMENTED, "C2")
def ready_headers(target: Target) -> None:
    _headers(target, "ready")


@check(PROBES, "the kubelet's probes are content", OPERATOR, "C4")
def in_time(target: Target) -> str:
    return rounds(target)


def rounds(target: Target) -> str:
    """Probe as the kubelet does: a late answer is a failure, and three in a row fail the check."""
    late = 0
    for path in ("/v1/health/live", "/v1/health/ready"):
        in_a_row = 0
        for _ in range(ROUNDS):
            in_a_row = 0 if _content(target, path) else in_a_row + 1
            late += in_a_row > 0
            expect(
                in_a_row < FAILURES, f"{path}: {FAILURES} times in a row no 200 within {PROBE_SECONDS:g} s"
            )
    return f"{2 * ROUNDS - late} of {2 * ROUNDS} within {PROBE_SECONDS:g} s"


def _content(target: Target, path: str) -> bool:
    try:
        return target.get(path, within=PROBE_SECONDS).status == 200
    except NoAnswer:
        return False


@check(PROBES, "the health port answers both", "NIM documentation, NIM_HEALTH_PORT", "C3")
def health_port(target: Target) -> None:
    if target.health_url is None:
        raise Skipped("no --health-url")
    for word in ("live", "ready"):
        status = ask(target.health_url, "GET", f"/v1/health/{word}").status
        if status != 200:
            raise Failed(f"/v1/health/{word} answers {status}")
