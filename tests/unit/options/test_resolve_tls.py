"""Which variables turn TLS on, and which combinations of them are refused."""

import pytest

from nim.errors import SettingsError
from nim.options.resolve_tls import decide_tls
from nim.plan import Tls
from nim.settings import read_settings

FILES = {"NIM_SSL_KEY_PATH": "/tls/key.pem", "NIM_SSL_CERTS_PATH": "/tls/certs.pem"}
AUTHORITIES = {"NIM_SSL_CA_CERTS_PATH": "/tls/ca.pem"}


def test_tls_is_off_by_default() -> None:
    assert decide_tls(read_settings({})) == (None, ())


def test_tls_needs_a_certificate_and_a_key() -> None:
    for missing in FILES:
        named = {"NIM_SSL_MODE": "TLS"} | {name: path for name, path in FILES.items() if name != missing}
        with pytest.raises(SettingsError, match=f"{missing} is not set"):
            decide_tls(read_settings(named))


def test_mutual_tls_needs_authorities() -> None:
    with pytest.raises(SettingsError, match="NIM_SSL_CA_CERTS_PATH is not set"):
        decide_tls(read_settings(FILES | {"NIM_SSL_MODE": "MTLS"}))


def test_files_without_a_mode_are_refused_since_nothing_would_be_encrypted() -> None:
    for given, mode in ((FILES, "TLS"), (FILES | AUTHORITIES, "MTLS")):
        with pytest.raises(SettingsError, match="nothing would be encrypted") as refused:
            decide_tls(read_settings(given))
        assert f"NIM_SSL_MODE={mode}," in str(refused.value.hint)


def test_a_mode_of_disabled_says_that_it_is_meant() -> None:
    assert decide_tls(read_settings(FILES | {"NIM_SSL_MODE": "disabled"})) == (None, ())


def test_authorities_have_no_effect_without_mutual_tls() -> None:
    tls, (warning,) = decide_tls(read_settings(FILES | AUTHORITIES | {"NIM_SSL_MODE": "TLS"}))
    assert tls == Tls(certificates="/tls/certs.pem", key="/tls/key.pem")
    assert "without effect" in warning


def test_mutual_tls_without_a_health_port_leaves_probes_out() -> None:
    mutual = FILES | AUTHORITIES | {"NIM_SSL_MODE": "MTLS"}
    tls, (warning,) = decide_tls(read_settings(mutual))
    assert tls
    assert tls.client_authorities == "/tls/ca.pem"
    assert "NIM_HEALTH_PORT" in warning
    assert decide_tls(read_settings(mutual | {"NIM_HEALTH_PORT": "8001"}))[1] == ()
