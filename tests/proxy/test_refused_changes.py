"""Changes that cannot take effect: what runs goes on, and the log says why; then they are repaired."""

from pathlib import Path

from tests.certificates import Authority
from tests.fakes.launch import wait_until
from tests.proxy.conftest import StartBackend, StartProxy, backends, served


def test_a_configuration_that_nginx_refuses_changes_nothing(
    start_backend: StartBackend, start_proxy: StartProxy, tmp_path: Path
) -> None:
    a, b, new = start_backend("org/a"), start_backend("org/b"), start_backend("org/new")
    authorities = tmp_path / "authorities.pem"
    own = [served("a", a), served("b", b)]
    proxy = start_proxy(backends(*own), SSL_CERT_FILE=str(authorities)).wait_ready(2)
    elsewhere = {"name": "tls", "urls": ["https://127.0.0.1:1"], "models": ["org/tls"]}
    proxy.write(backends(*own, served("new", new), elsewhere))
    said = proxy.wait_said("nginx keeps the backends that it has")
    assert str(authorities) in said
    assert "has changed" not in proxy.text
    assert [proxy.chat(model).status for model in ("org/a", "org/b", "org/new")] == [200, 200, 404]
    assert b"nim_proxy_reloads_refused_total 1.0" in proxy.get("/v1/metrics").body
    assert proxy.models() == ["org/a", "org/b"]
    Path(Authority(tmp_path / "ca").certificate).rename(authorities)
    proxy.write(backends(*own, served("new", new), elsewhere))
    wait_until(lambda: proxy.chat("org/new").status == 200, "the new backend")
    assert proxy.chat("org/tls").status in (502, 503)
    assert proxy.stop() == 0, proxy.text
