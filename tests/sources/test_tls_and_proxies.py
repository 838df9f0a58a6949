"""Private certificate authorities, proxies and tokens, for the list and for the bytes."""

import base64
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from nim.errors import SettingsError, WeightsError
from tests.certificates import Authority
from tests.sources.conftest import Downloader
from tests.sources.file_server import FileServer, serving_files
from tests.sources.proxy import running_proxy

PASSWORD = "planted-password"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


def context_of(authority: Authority, name: str = "server", *, days: int = 30) -> ssl.SSLContext:
    """Return the TLS of a server with a certificate for localhost."""
    pair = authority.issue(name, days=days)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    return context


@pytest.fixture
def server(model: Path, authority: Authority) -> Iterator[FileServer]:
    with serving_files(model, tls=context_of(authority)) as running:
        yield running


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"])
def test_a_private_authority_is_trusted_by_a_variable(
    variable: str,
    server: FileServer,
    authority: Authority,
    model: Path,
    fetch: Downloader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(variable, authority.certificate)
    fetch(f"{server.url}/model")
    assert fetch.same(f"{server.url}/model", model / "model")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    fetch("s3://model")
    assert fetch.same("s3://model", model / "model")


@pytest.mark.usefixtures("no_delays")
def test_an_unknown_authority_is_named_at_once(
    server: FileServer, fetch: Downloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WeightsError, match="certificate") as caught:
        fetch(f"{server.url}/model")
    assert "SSL_CERT_FILE=" in str(caught.value.hint)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    with pytest.raises(WeightsError, match="certificate is of an authority that is not known") as caught:
        fetch("s3://model")
    assert "SSL_CERT_FILE=" in str(caught.value.hint)
    assert not fetch.lines


def test_an_expired_certificate(
    model: Path, authority: Authority, fetch: Downloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", authority.certificate)
    with serving_files(model, tls=context_of(authority, "old", days=-1)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        with pytest.raises(WeightsError, match="has expired"):
            fetch("s3://model")


def test_certificates_that_are_not_there(fetch: Downloader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nothing.pem")
    with pytest.raises(SettingsError, match=r"cannot use SSL_CERT_FILE '/nothing.pem'"):
        fetch("https://127.0.0.1/model")


def test_all_goes_through_the_proxy(
    server: FileServer,
    authority: Authority,
    model: Path,
    fetch: Downloader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", authority.certificate)
    address = server.url.removeprefix("https://")
    with running_proxy(password=base64.b64encode(f"me:{PASSWORD}".encode()).decode()) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:{PASSWORD}@127.0.0.1:{proxy.port}")
        fetch(f"{server.url}/model")
        assert fetch.same(f"{server.url}/model", model / "model")
        through = len(proxy.asked)
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        fetch("s3://model")
        assert set(proxy.asked) == {address}
        assert len(proxy.asked) > through > 1
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        before = len(proxy.asked)
        fetch("s3://model", refresh=True)
        assert len(proxy.asked) == before


@pytest.mark.usefixtures("no_delays")
def test_a_proxy_that_wants_a_password_is_named_without_telling_any(
    server: FileServer, authority: Authority, fetch: Downloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", authority.certificate)
    with running_proxy(password="right") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:{PASSWORD}@127.0.0.1:{proxy.port}")
        with pytest.raises(WeightsError, match="proxy") as caught:
            fetch(f"{server.url}/model")
        assert PASSWORD not in str(caught.value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        with pytest.raises(WeightsError, match=r"the proxy wants another user and password") as caught:
            fetch("s3://model")
        assert PASSWORD not in str(caught.value)


def test_a_token_is_sent_with_tls_only(
    model: Path,
    authority: Authority,
    fetch: Downloader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", authority.certificate)
    monkeypatch.setenv("NIM_SOURCE_TOKEN", "a-token")
    with serving_files(model, tls=context_of(authority), token="a-token") as server:
        fetch(f"{server.url}/model")
        assert fetch.same(f"{server.url}/model", model / "model")
    with serving_files(model) as server:
        fetch(f"{server.url}/model")
        assert not any("a-token" in value for one in server.headers for value in one.values())
