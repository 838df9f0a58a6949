"""`nim doctor stream` through real proxies finds each fault, and no others."""

from pathlib import Path

import pytest

from nim.doctor import ADVICE
from nim.doctor.checks.find_body_size_limit import MB
from nim.doctor.checks.measure_event_timing import TOKENS
from nim.doctor.checks.measure_idle_timeouts import _and_longer
from tests.doctor.conftest import PACE, Doctor
from tests.doctor.proxies import HAPROXY, buffering, haproxy, nginx
from tests.fakes.launch import launch
from tests.gateway.nginx import free_port

pytestmark = pytest.mark.slow

QUICK = ("--idle=3", "--max-body=8")
# For proxies that cut after 4 s: on a busy machine the cut comes late, but long before the examination ends.
TO_BE_CUT = ("--idle=30", "--max-body=8")
# Until told not to, it has the kernel wait for more, up to 200 ms.
CORKED = {"events": "FAIL"}
CHECKS = {*ADVICE, "accel-buffering", "authorization"}

needs_haproxy = pytest.mark.skipif(not HAPROXY, reason="HAProxy is not installed: make setup installs it")

HELD_BACK = "proxy_ignore_headers X-Accel-Buffering; proxy_ignore_client_abort on; client_max_body_size 0;"
IMPATIENT = """
client_max_body_size 0; proxy_read_timeout 4s; keepalive_timeout 1s; proxy_buffering off;
gzip on; gzip_proxied any; gzip_types text/event-stream; gzip_min_length 0; proxy_http_version 1.1;
proxy_hide_header X-Request-Id; proxy_hide_header Server-Timing; proxy_hide_header Cache-Control;
"""
AS_ADVISED = """
proxy_buffering off; gzip off; proxy_http_version 1.1; proxy_set_header X-Request-Id $http_x_request_id;
client_max_body_size 0; proxy_ignore_client_abort off; proxy_read_timeout 3600s; proxy_send_timeout 3600s;
keepalive_timeout 650s; proxy_cache off; proxy_intercept_errors off;
"""


def test_nothing_in_between_nothing_found(doctor: Doctor, port: int) -> None:
    report = doctor(port, *QUICK)
    unknown = {"authorization": "unknown"}
    assert report.verdicts == dict.fromkeys(CHECKS, "ok") | unknown, report.out
    assert (report.code, report.data["findings"]) == (0, 0)
    assert report.data["service"]["ours"]
    assert report.seen("silence").endswith("for 3 s was not cut; --idle 90 tells of the usual 60 s")
    assert report.facts("events")["events"] == 1 + TOKENS  # the opening, too, but not the end


def test_who_bears_more_than_the_usual_needs_no_hint() -> None:
    assert [bool(_and_longer(seconds)) for seconds in (10, 60, 61, 90)] == [True, True, False, False]


def test_an_nginx_with_its_defaults(doctor: Doctor, port: int, tmp_path: Path) -> None:
    with nginx(tmp_path, port) as front:
        report = doctor(front, *QUICK)
    assert report.bad == {"body": "FAIL", "error-pages": "warn"}, report.out
    assert report.code == 1
    sizes = report.facts("body")
    assert sizes["passed_bytes"] <= MB < sizes["refused_bytes"] <= 1.1 * sizes["passed_bytes"]
    assert "413 text/html" in report.seen("body")
    assert report.of("body")["settings"]["nginx"].startswith("client_max_body_size")


def test_an_nginx_as_advised(doctor: Doctor, port: int, tmp_path: Path) -> None:
    with nginx(tmp_path, port, AS_ADVISED) as front:
        report = doctor(front, *QUICK)
    assert (report.bad, report.code) == ({}, 0), report.out


def test_an_nginx_that_holds_back_and_asks_on(doctor: Doctor, port: int, tmp_path: Path) -> None:
    with nginx(tmp_path, port, HELD_BACK) as front:
        report = doctor(front, *QUICK)
    # In the middle of a stream it notices by itself: the client's side cannot be written to any more.
    assert report.bad == {"events": "FAIL", "disconnect-silent": "FAIL"}, report.out


def test_an_nginx_with_short_timeouts_that_drops_headers_is_found(
    doctor: Doctor, port: int, tmp_path: Path
) -> None:
    with nginx(tmp_path, port, IMPATIENT) as front:
        report = doctor(front, *TO_BE_CUT)
    lost = ["request-id", "server-timing", "health-cache", "compression", "keep-alive", "error-pages"]
    assert report.bad == {"silence": "FAIL"} | dict.fromkeys(lost, "warn"), report.out
    assert "504 text/html" in report.seen("silence")


@needs_haproxy
def test_an_haproxy_with_short_timeouts_is_found(doctor: Doctor, port: int, tmp_path: Path) -> None:
    # Otherwise as advised: without abortonclose it is the cut that tells the engine, in time or not.
    advised = "option abortonclose\n option http-no-delay"
    cut = "timeout client 60s\n timeout server 4s\n timeout http-keep-alive 1s"
    with haproxy(tmp_path, port, f"{advised}\n {cut}") as front:
        report = doctor(front, *TO_BE_CUT)
    assert report.bad == {"silence": "FAIL", "keep-alive": "warn", "error-pages": "warn"}, report.out


@needs_haproxy
def test_an_haproxy_with_only_long_timeouts_is_found(doctor: Doctor, port: int, tmp_path: Path) -> None:
    with haproxy(tmp_path, port, "timeout client 1h\n    timeout server 1h") as front:
        report = doctor(front, *QUICK)
    assert report.bad == {"disconnect-silent": "FAIL"} | CORKED, report.out


@needs_haproxy
def test_an_haproxy_as_advised(doctor: Doctor, port: int, tmp_path: Path) -> None:
    settings = "timeout client 1h\n timeout server 1h\n option abortonclose\n option http-no-delay"
    with haproxy(tmp_path, port, settings) as front:
        report = doctor(front, *QUICK)
    assert (report.bad, report.code) == ({}, 0), report.out


def test_a_proxy_that_collects(doctor: Doctor, port: int) -> None:
    with buffering(port) as front:
        report = doctor(front, *QUICK)
    fatal = ["buffering", "disconnect-stream", "disconnect-silent"]
    assert report.bad == dict.fromkeys(fatal, "FAIL") | {"framing": "warn"}, report.out


def test_a_bare_engine_is_not_blamed(doctor: Doctor, tmp_path: Path) -> None:
    with launch(tmp_path, port=free_port(), **PACE) as engine:
        engine.wait_ready()
        assert isinstance(engine.address, int)
        bare = doctor(engine.address, *QUICK)
        with nginx(tmp_path, engine.address) as front:
            behind_nginx = doctor(front, *QUICK)
    assert (bare.bad, bare.code) == ({}, 0), bare.out
    unknown = {"authorization", "accel-buffering", "request-id", "server-timing", "health"}
    assert {check for check, verdict in bare.verdicts.items() if verdict == "unknown"} == unknown
    assert behind_nginx.bad["events"] == "FAIL"


def test_for_people_the_lines_and_what_to_set(doctor: Doctor, port: int, tmp_path: Path) -> None:
    with nginx(tmp_path, port) as front:
        report = doctor(front, *QUICK, as_json=False)
    assert report.code == 1
    assert "\nok       events " in report.out
    assert "\nFAIL     body " in report.out
    assert "client_max_body_size" in report.out
