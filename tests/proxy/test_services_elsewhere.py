"""Services with keys of their own: the client's credentials stay here, and certificates are checked."""

import ssl
from pathlib import Path

from tests.certificates import Authority
from tests.proxy.backend import Backend
from tests.proxy.conftest import StartBackend, StartProxy, backends, served

CREDENTIALS = {
    "Authorization": "Bearer of-the-client",
    "X-Api-Key": "of-the-client",
    "Cookie": "of=the-client",
}


def test_the_clients_key_goes_to_own_backends_only(
    start_backend: StartBackend, start_proxy: StartProxy
) -> None:
    own, other = start_backend("org/own"), start_backend("org/other")
    text = backends(
        served("own", own, aliases={"mine": "org/own"}),
        served("other", other, key_env="OTHER_KEY", models=["org/other"], aliases={"alias": "org/other"}),
    )
    proxy = start_proxy(text, OTHER_KEY="sk-very-secret").wait_ready(2)
    for model in ("org/own", "mine"):
        assert proxy.post("/v1/completions", {"model": model}, CREDENTIALS).status == 200
        assert own.received[-1].headers["authorization"] == "Bearer of-the-client"
        assert own.received[-1].headers["cookie"] == "of=the-client"
    for model in ("org/other", "alias"):
        assert proxy.post("/v1/completions", {"model": model}, CREDENTIALS).status == 200
        headers = other.received[-1].headers
        assert headers["authorization"] == "Bearer sk-very-secret"
        assert not [name for name, value in headers.items() if "of-the-client" in value or name == "cookie"]
    shown = [proxy.get(path).body for path in ("/v1/metadata", "/v1/health/ready", "/v1/metrics", "/")]
    assert proxy.stop() == 0
    assert not [
        text for text in (*shown, proxy.text.encode()) if b"very-secret" in text or b"of-the-client" in text
    ]
    for file in proxy.run_dir.rglob("*"):
        assert not file.is_file() or b"very-secret" not in file.read_bytes(), file


def test_tls_with_a_name_a_path_and_a_checked_certificate(
    tmp_path: Path, start_backend: StartBackend, start_proxy: StartProxy
) -> None:
    authority = Authority(tmp_path / "authority")
    pair = authority.issue("service")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    own, secure = start_backend("org/own"), Backend("org/secure", tls=context).start()
    entry = served("secure", secure, key_env="KEY", models=["org/secure"])
    entry["urls"] = [f"{secure.url}/base/v1/"]
    text = backends(served("own", own), entry)
    try:
        proxy = start_proxy(text, KEY="k", SSL_CERT_FILE=authority.certificate).wait_ready(2)
        answer = proxy.post("/v1/completions?x=1", {"model": "org/secure"})
        assert answer.status == 200, answer.body
        (received,) = (one for one in secure.received if one.method == "POST")
        assert received.target == "/base/v1/completions?x=1"
        assert received.headers["host"] == f"localhost:{secure.port}"
        assert proxy.stop() == 0
        stranger = start_proxy(text, KEY="k").wait_ready(2)  # which trusts this system's authorities only
        assert stranger.post("/v1/completions", {"model": "org/secure"}).status in (502, 503)
        assert len([one for one in secure.received if one.method == "POST"]) == 1
    finally:
        secure.stop()
