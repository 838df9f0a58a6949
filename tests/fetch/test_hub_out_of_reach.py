"""No hub, or another server, at the hub's address: each cause is named, with what to do."""

import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants

from nim.errors import NimError, OutOfReach, SettingsError
from nim.fetch import hub
from nim.fetch.convert_hub_errors import RAISED, refusal
from nim.models.hub.check_connection_variables import check_hub_environment
from nim.plan import Wanted
from tests.fetch.conftest import Commands
from tests.fetch.odd_servers import answering, certificate, saying, tls_of
from tests.gateway.nginx import free_port

WANTED = Wanted(repository="org/name", revision=None, cache="/nowhere/hub")
PASSWORD = "planted-password"
VARIABLES = (
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HF_TOKEN",
)
Ask = Callable[..., NimError]
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """Yield the refusal of the hub's real client at this address, in this environment."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 1)

    def run(endpoint: str, **environ: str) -> NimError:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        hub.refuse_web_pages()
        huggingface_hub.close_session()
        try:
            check_hub_environment({"HF_ENDPOINT": endpoint, **environ})
            hub.look_up(WANTED)
        except RAISED as error:
            return refusal(error, WANTED, environ)
        except SettingsError as error:
            return error
        raise AssertionError("the hub was asked, and answered")

    yield run
    huggingface_hub.close_session()


def out_of_reach(error: NimError) -> str:
    """Return what is said; it is not the model's fault."""
    assert isinstance(error, OutOfReach)
    assert error.message.startswith("cannot fetch hf://org/name: ")
    assert PASSWORD not in str(error)
    assert error.hint
    return error.message.removeprefix("cannot fetch hf://org/name: ")


def test_a_log_in_page(ask: Ask) -> None:
    with answering() as port:
        said = out_of_reach(ask(f"http://127.0.0.1:{port}"))
    assert said == f"http://127.0.0.1:{port} answered text/html: that is not the hub"


def test_a_redirect_to_a_log_in_page(ask: Ask) -> None:
    with answering() as page, answering(302, b"", Location=f"http://localhost:{page}/login?next=x") as port:
        said = out_of_reach(ask(f"http://127.0.0.1:{port}"))
    redirected = f"http://127.0.0.1:{port} redirected to http://localhost:{page}"
    assert said == f"{redirected}, which answered text/html: that is not the hub"


def test_a_redirect_without_end(ask: Ask) -> None:
    with answering(302, b"", Location="/again") as port:
        said = out_of_reach(ask(f"http://127.0.0.1:{port}"))
    assert said == f"http://127.0.0.1:{port} redirects without end"


@pytest.mark.parametrize("status", [401, 403, 404, 451, 502, 503])
def test_an_error_page_of_a_firewall(ask: Ask, status: int) -> None:
    with answering(status) as port:
        error = ask(f"http://127.0.0.1:{port}")
    assert f"answered {status} with text/html: that is a proxy or a firewall, or not the hub" in out_of_reach(
        error
    )


def test_the_hub_s_own_refusals_are_not_taken_for_a_firewall_s(ask: Ask) -> None:
    with answering(403, X_Error_Code="GatedRepo", X_Error_Message="restricted") as port:
        assert "granted access (403)" in ask(f"http://127.0.0.1:{port}").message


def test_too_many_requests(ask: Ask) -> None:
    with answering(429, b"{}", Content_Type="application/json", Retry_After="30") as port:
        error = ask(f"http://127.0.0.1:{port}")
    assert f"http://127.0.0.1:{port} answered 429" in out_of_reach(error)
    assert "again in 30 s" in (error.hint or "")
    assert "HF_TOKEN=…" in (error.hint or "")


def test_plain_http_at_a_port_for_tls(ask: Ask) -> None:
    """As nginx answers."""
    with answering(400, b"<html>The plain HTTP request was sent to HTTPS port</html>") as port:
        error = ask(f"http://127.0.0.1:{port}")
    assert "answered 400 with text/html" in out_of_reach(error)
    assert f"HF_ENDPOINT=https://127.0.0.1:{port}" in (error.hint or "")


def test_tls_at_a_port_for_plain_http(ask: Ask) -> None:
    with answering() as port:
        error = ask(f"https://127.0.0.1:{port}")
    assert out_of_reach(error) == f"https://127.0.0.1:{port} does not speak TLS there"
    assert f"HF_ENDPOINT=http://127.0.0.1:{port}" in (error.hint or "")


def test_another_protocol(ask: Ask) -> None:
    with saying(b"-ERR unknown command 'GET'\r\n\r\n") as port:
        assert "does not speak HTTP" in out_of_reach(ask(f"http://127.0.0.1:{port}"))


def test_a_server_that_hangs_up(ask: Ask) -> None:
    with saying(b"") as port:
        assert "broke off" in out_of_reach(ask(f"http://127.0.0.1:{port}"))


def test_a_closed_port_of_the_hub_is_reported(ask: Ask) -> None:
    port = free_port()
    error = ask(f"http://127.0.0.1:{port}")
    assert out_of_reach(error).startswith(f"http://127.0.0.1:{port} is out of reach: [Errno 111]")
    assert error.hint == "HF_ENDPOINT=… a mirror, or HTTPS_PROXY=…"


def test_a_hub_that_does_not_answer_in_time_is_reported(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        error = ask(f"http://127.0.0.1:{deaf.getsockname()[1]}")
    assert "did not answer in time" in out_of_reach(error)
    assert "HF_HUB_ETAG_TIMEOUT=60" in (error.hint or "")


def test_a_name_that_is_not_known(ask: Ask) -> None:
    error = ask("https://hub.invalid")
    assert out_of_reach(error).startswith("the name hub.invalid is not known here ([Errno ")
    assert (error.hint or "").startswith("getent hosts hub.invalid; ")


# Certificates


@needs_openssl
def test_a_certificate_of_the_organisation(ask: Ask, tmp_path: Path) -> None:
    with answering(tls=tls_of(certificate(tmp_path))) as port:
        error = ask(f"https://localhost:{port}")
        expected = f"the certificate of https://localhost:{port} is not accepted: self-signed certificate"
        assert out_of_reach(error) == expected
        assert error.hint == "SSL_CERT_FILE=… a file with the system's certificates and your organisation's"

        bundle = str(tmp_path / "certificate.pem")
        old = ask(f"https://localhost:{port}", REQUESTS_CA_BUNDLE=bundle)
        assert old.hint == f"SSL_CERT_FILE={bundle}: REQUESTS_CA_BUNDLE is not read any more"

        # And what is told is what helps: the page behind it is reached.
        assert "answered text/html" in out_of_reach(ask(f"https://localhost:{port}", SSL_CERT_FILE=bundle))


@needs_openssl
def test_a_bundle_without_the_one_that_is_needed(ask: Ask, tmp_path: Path) -> None:
    other = certificate(tmp_path / "other")
    with answering(tls=tls_of(certificate(tmp_path / "own"))) as port:
        error = ask(f"https://localhost:{port}", SSL_CERT_FILE=str(other))
    assert "is not accepted: " in out_of_reach(error)
    assert (error.hint or "").startswith(
        f"add it to {other} (SSL_CERT_FILE), which is used instead of the system's"
    )


@needs_openssl
@pytest.mark.parametrize(
    ("begin", "end", "words"), [(2, 4, "certificate is not yet valid"), (-4, -2, "certificate has expired")]
)
def test_a_clock_that_is_wrong(ask: Ask, tmp_path: Path, begin: int, end: int, words: str) -> None:
    both = certificate(tmp_path, begin=begin, end=end)
    with answering(tls=tls_of(both)) as port:
        error = ask(f"https://localhost:{port}", SSL_CERT_FILE=str(both))
    assert out_of_reach(error).endswith(words)
    assert (error.hint or "").startswith("date: this machine's clock may be wrong")


@needs_openssl
def test_a_certificate_of_another_name(ask: Ask, tmp_path: Path) -> None:
    both = certificate(tmp_path, name="hub.example")
    with answering(tls=tls_of(both)) as port:
        error = ask(f"https://localhost:{port}", SSL_CERT_FILE=str(both))
    assert "ismatch" in out_of_reach(error)
    assert "not localhost" in (error.hint or "")


# Proxies


def test_a_proxy_that_is_out_of_reach(ask: Ask) -> None:
    port = free_port()
    error = ask("https://hub.example", HTTPS_PROXY=f"http://user:{PASSWORD}@127.0.0.1:{port}")
    expected = (
        f"the proxy http://127.0.0.1:{port} (HTTPS_PROXY) is out of reach: [Errno 111] Connection refused"
    )
    assert out_of_reach(error) == expected
    assert "NO_PROXY=hub.example" in (error.hint or "")


def test_a_proxy_whose_name_is_not_known(ask: Ask) -> None:
    error = ask("https://hub.example", https_proxy=f"user:{PASSWORD}@proxy.invalid:3128")
    said = out_of_reach(error)
    assert said.startswith("the proxy http://proxy.invalid:3128 (https_proxy) is out of reach: ")
    assert said.endswith("its name is not known here")


@pytest.mark.parametrize(
    ("user", "words"),
    [("", "wants a user and password"), (f"me:{PASSWORD}@", "does not know the user and password in it")],
)
def test_a_proxy_that_wants_to_know_who_asks(ask: Ask, user: str, words: str) -> None:
    with answering(407, b"") as port:
        error = ask("https://hub.example", HTTPS_PROXY=f"http://{user}127.0.0.1:{port}")
    assert out_of_reach(error) == f"the proxy http://127.0.0.1:{port} (HTTPS_PROXY) {words} (407)"
    assert f"HTTPS_PROXY=http://USER:PASSWORD@127.0.0.1:{port}" in (error.hint or "")


def test_a_proxy_that_refuses_everything_is_reported(ask: Ask) -> None:
    with answering(403, b"") as port:
        error = ask("https://hub.example", ALL_PROXY=f"http://127.0.0.1:{port}")
    said = out_of_reach(error)
    assert said.startswith(
        f"the proxy http://127.0.0.1:{port} (ALL_PROXY) does not let anybody through to https://hub"
    )
    assert "403" in said


def test_a_proxy_that_does_not_speak_tls(ask: Ask) -> None:
    with answering() as port:
        error = ask("https://hub.example", HTTPS_PROXY=f"https://127.0.0.1:{port}")
    assert out_of_reach(error) == f"the proxy https://127.0.0.1:{port} (HTTPS_PROXY) does not speak TLS"
    assert error.hint == f"HTTPS_PROXY=http://127.0.0.1:{port}"


def test_a_host_excluded_from_the_proxy_is_reported(ask: Ask) -> None:
    port = free_port()
    environ = {"HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": "localhost,127.0.0.1"}
    error = ask(f"http://127.0.0.1:{port}", **environ)
    assert out_of_reach(error).endswith("it was asked directly, as NO_PROXY says")
    assert error.hint == "NO_PROXY without 127.0.0.1: HTTP_PROXY has http://127.0.0.1:1"


# As a user meets it


def test_the_command_reports_the_cause_without_passwords(nim: Commands) -> None:
    port = free_port()
    environ = {"HTTPS_PROXY": f"http://me:{PASSWORD}@127.0.0.1:{port}", "HF_ENDPOINT": "https://hub.example"}
    done = nim("fetch", "--model-uri", "hf://org/name", **environ)
    assert done.returncode == 6
    assert f"the proxy http://127.0.0.1:{port} (HTTPS_PROXY) is out of reach" in done.stderr
    assert PASSWORD not in done.stderr
    done = nim("fetch", "--model-uri", "hf://org/name", HF_ENDPOINT=f"http://me:{PASSWORD}@127.0.0.1:{port}")
    assert f"http://127.0.0.1:{port} is out of reach" in done.stderr
    assert PASSWORD not in done.stderr


@pytest.mark.parametrize(
    ("environ", "words", "hint"),
    [
        (
            {"HF_ENDPOINT": "hf-mirror.com"},
            'HF_ENDPOINT "hf-mirror.com"',
            "HF_ENDPOINT=https://hf-mirror.com",
        ),
        (
            {"SSL_CERT_FILE": "/nonexistent.pem"},
            "SSL_CERT_FILE '/nonexistent.pem'",
            "ls -l '/nonexistent.pem'",
        ),
    ],
)
def test_unusable_hub_variables_are_refused_before_any_request(
    nim: Commands, environ: dict[str, str], words: str, hint: str
) -> None:
    done = nim("fetch", "--model-uri", "hf://org/name", **environ)
    assert done.returncode == 2
    assert f"cannot use {words}" in done.stderr
    assert hint in done.stderr
