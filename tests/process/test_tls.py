"""Certificates that change while the service runs: reread without cutting a stream, or refused."""

import http.client
import json
import os
import re
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from nim.plan import Tls
from nim.preflight.proc_net_sockets import count_connections
from tests.certificates import Authority, Pair
from tests.fakes.launch import wait_until
from tests.gateway.nginx import free_port
from tests.process.conftest import Start
from tests.process.plans import make_plan, rendered
from tests.process.service import Service

pytestmark = pytest.mark.slow

STREAMS, TOKENS, INTERVAL_MS = 64, 500, 20
"""Ten seconds of streaming, which is longer than it takes to notice a change."""


class Secret:
    """A directory as Kubernetes mounts a Secret: the files are links through `..data`, which is swapped."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._directory, self._versions = directory, 0
        for name in ("tls.crt", "tls.key"):
            (directory / name).symlink_to(f"..data/{name}")

    def write(self, certificate: str, key: str) -> None:
        """Replace both files at once."""
        self._versions += 1
        version = self._directory / f"..v{self._versions}"
        version.mkdir()
        (version / "tls.crt").write_bytes(Path(certificate).read_bytes())
        (version / "tls.key").write_bytes(Path(key).read_bytes())
        link = self._directory / "..data.new"
        link.symlink_to(version.name)
        link.replace(self._directory / "..data")

    @property
    def tls(self) -> Tls:
        return Tls(certificates=str(self._directory / "tls.crt"), key=str(self._directory / "tls.key"))


@pytest.fixture
def authority(directory: Path) -> Authority:
    return Authority(directory / "authority")


@pytest.fixture
def secret(directory: Path) -> Secret:
    return Secret(directory / "secret")


def serve(start: Start, directory: Path, secret: Secret, pair: Pair, tokens: int = TOKENS) -> Service:
    """A service with this pair, whose engine streams for ten seconds."""
    secret.write(pair.certificate, pair.key)
    plan = make_plan(directory, tokens=tokens, interval_ms=INTERVAL_MS)
    gateway = replace(plan.gateway, tls=secret.tls, health_port=free_port())
    service = start(rendered(plan, gateway=gateway))
    service.wait_said("ready: https://localhost")
    return service


def connect(service: Service, authority: Authority, port: int | None = None) -> http.client.HTTPSConnection:
    """A connection that trusts the authority."""
    context = ssl.create_default_context(cafile=authority.certificate)
    port = port or service.plan.gateway.server_port
    return http.client.HTTPSConnection("localhost", port, timeout=60, context=context)


def served_name(service: Service, authority: Authority, port: int | None = None) -> str:
    """The common name of the certificate that a new connection gets."""
    link = connect(service, authority, port)
    link.connect()
    assert isinstance(link.sock, ssl.SSLSocket)
    certificate = link.sock.getpeercert() or {}
    link.close()
    return dict(part[0] for part in certificate["subject"])["commonName"]  # type: ignore[misc]


def count_events(service: Service, authority: Authority) -> int:
    """The events of one whole stream; fails if it is cut."""
    link = connect(service, authority)
    body = json.dumps({"prompt": "x", "stream": True, "max_tokens": TOKENS})
    link.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
    with link.getresponse() as answer:
        text = answer.read()
    link.close()
    assert text.endswith(b"data: [DONE]\n\n")
    return text.count(b"data: {")


def read_some(service: Service, authority: Authority) -> bytes:
    """What came of a stream without an end until it was cut."""
    link = connect(service, authority)
    body = json.dumps({"prompt": "x", "stream": True, "max_tokens": 1_000_000})
    link.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
    text = b""
    with suppress(http.client.IncompleteRead, OSError), link.getresponse() as answer:
        while line := answer.readline():
            text += line
    link.close()
    return text


def service_has(service: Service, streams: int) -> None:
    """Wait until so many requests are answered."""

    def count() -> int:
        return count_connections(service.plan.gateway.server_port)

    wait_until(lambda: count() >= streams, "the streams")


def test_a_renewed_certificate_is_served_and_no_stream_is_cut(
    start: Start, directory: Path, secret: Secret, authority: Authority
) -> None:
    service = serve(start, directory, secret, authority.issue("first"))
    assert served_name(service, authority) == "first"
    with ThreadPoolExecutor(STREAMS) as pool:
        streams = [pool.submit(count_events, service, authority) for _ in range(STREAMS)]
        renewed = authority.issue("second")
        secret.write(renewed.certificate, renewed.key)
        health_port = service.plan.gateway.health_port
        for port in (None, health_port):
            wait_until(lambda port=port: served_name(service, authority, port) == "second", "the renewed one")  # type: ignore[misc]
        assert not any(stream.done() for stream in streams)
        # The last event has the reason to finish.
        assert {stream.result() for stream in streams} == {TOKENS + 1}
    assert service.state().reloads == 1
    assert "files changed: nginx rereads the certificate (valid until" in service.text
    assert service.stop() == 0


@pytest.mark.parametrize("reloaded", [False, True])
def test_a_stop_past_its_budget_names_the_streams_that_it_cuts(
    start: Start, directory: Path, secret: Secret, authority: Authority, reloaded: bool
) -> None:
    """nginx would let them go on for a day, which is for reloads."""
    service = serve(start, directory, secret, authority.issue("first"), tokens=1_000_000)
    with ThreadPoolExecutor(3) as pool:
        streams = [pool.submit(read_some, service, authority) for _ in range(3)]
        service_has(service, 3)
        if reloaded:
            renewed = authority.issue("second")
            secret.write(renewed.certificate, renewed.key)
            wait_until(lambda: served_name(service, authority) == "second", "the renewed certificate")
        assert service.stop() == 143
        for stream in streams:
            assert not stream.result().endswith(b"data: [DONE]\n\n")
    named = re.findall(
        r"stream cut \(they did not end in time\): POST /v1/completions, .*request_id=(\S+)", service.text
    )
    assert len(set(named)) == 3, service.text[-3000:]
    assert "streams cut because they did not end in time: 3" in service.text
    assert "cannot name them" not in service.text
    assert "the engine ended before" not in service.text
    service.assert_nothing_left()


def test_unusable_files_are_refused_once_and_the_old_certificate_stays(
    start: Start, directory: Path, secret: Secret, authority: Authority
) -> None:
    service = serve(start, directory, secret, authority.issue("first"))
    renewed = authority.issue("second")
    secret.write(renewed.certificate, authority.issue("other").key)
    said = service.wait_said("nginx keeps the files that it has loaded")
    assert "the key does not belong to the first certificate" in said
    secret.write(authority.issue("expired", days=-1).certificate, renewed.key)
    wait_until(lambda: service.state().refused_reloads == 2, "the second refusal")
    assert served_name(service, authority) == "first"
    secret.write(renewed.certificate, renewed.key)
    wait_until(lambda: served_name(service, authority) == "second", "the usable pair")
    assert (service.state().reloads, service.state().refused_reloads) == (1, 2)
    assert service.stop() == 0


def test_a_certificate_that_has_expired_ends_the_start(
    start: Start, directory: Path, secret: Secret, authority: Authority
) -> None:
    pair = authority.issue("expired", days=-1)
    secret.write(pair.certificate, pair.key)
    plan = make_plan(directory)
    service = start(rendered(plan, gateway=replace(plan.gateway, tls=secret.tls)))
    assert service.wait() == 1
    assert "the certificate has expired" in service.text
    assert "exit code 7" in service.text
    assert not os.path.lexists(service.run_dir / "lock")
