"""Which certificate files are refused before a start, and in which words. OpenSSL makes and judges them."""

import subprocess
import time
from pathlib import Path

import pytest

from nim.errors import PreflightError
from nim.plan import Tls
from nim.preflight.check_certificates import chain_warning, check_certificates, expiry_warning
from tests.certificates import Authority

DAY_SECONDS = 24 * 3600


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


def test_the_expiry_of_a_usable_pair_is_returned(authority: Authority) -> None:
    pair = authority.issue("service", days=30)
    expires_at = check_certificates(Tls(certificates=pair.certificate, key=pair.key))
    assert expires_at == pytest.approx(time.time() + 30 * DAY_SECONDS, abs=60)
    assert expiry_warning(expires_at, time.time()) is None
    assert "expires in 12 days" in str(expiry_warning(expires_at, time.time() + 17.5 * DAY_SECONDS))


def test_a_chain_is_accepted_with_the_service_s_own_certificate_first(
    authority: Authority, tmp_path: Path
) -> None:
    pair, chain = authority.issue("service"), tmp_path / "chain.pem"
    own, above = (Path(path).read_text() for path in (pair.certificate, authority.certificate))
    chain.write_text(own + above)
    assert check_certificates(Tls(certificates=str(chain), key=pair.key))
    chain.write_text(above + own)
    with pytest.raises(PreflightError, match="does not belong to the first certificate"):
        check_certificates(Tls(certificates=str(chain), key=pair.key))


def test_an_expired_certificate_is_refused(authority: Authority) -> None:
    pair = authority.issue("service", days=-1)
    with pytest.raises(PreflightError, match="the certificate has expired"):
        check_certificates(Tls(certificates=pair.certificate, key=pair.key))


def test_the_key_of_another_certificate_is_refused(authority: Authority) -> None:
    pair, other = authority.issue("service"), authority.issue("other")
    with pytest.raises(PreflightError, match=r"NIM_SSL_KEY_PATH .*does not belong"):
        check_certificates(Tls(certificates=pair.certificate, key=other.key))


def test_an_encrypted_key_is_refused(authority: Authority, tmp_path: Path) -> None:
    pair, encrypted = authority.issue("service"), tmp_path / "encrypted.pem"
    words = ["openssl", "pkey", "-in", pair.key, "-aes256", "-passout", "pass:word", "-out", str(encrypted)]
    subprocess.run(words, check=True, capture_output=True)
    with pytest.raises(PreflightError, match="encrypted with a passphrase"):
        check_certificates(Tls(certificates=pair.certificate, key=str(encrypted)))


@pytest.mark.parametrize("field", ["certificates", "key", "client_authorities"])
@pytest.mark.parametrize(("content", "why"), [(None, "No such file"), ("x" * 100, "OpenSSL finds no")])
def test_a_file_that_is_missing_or_no_pem_is_refused(
    authority: Authority, tmp_path: Path, field: str, content: str | None, why: str
) -> None:
    pair, bad = authority.issue("service"), tmp_path / "bad.pem"
    if content is not None:
        bad.write_text(content)
    files = {"certificates": pair.certificate, "key": pair.key, "client_authorities": authority.certificate}
    with pytest.raises(PreflightError, match=f"bad.pem' .*{why}"):
        check_certificates(Tls(**files | {field: str(bad)}))


def test_a_device_is_not_read(authority: Authority) -> None:
    pair = authority.issue("service")
    with pytest.raises(PreflightError, match="it is not a regular file"):
        check_certificates(Tls(certificates=pair.certificate, key="/dev/zero"))


def chain(tmp_path: Path, *paths: str) -> Tls:
    """Return TLS with these certificates in one file, the key of the first."""
    file = tmp_path / "chain.pem"
    file.write_text("".join(Path(path).read_text() for path in paths))
    return Tls(certificates=str(file), key=paths[0].removesuffix(".pem") + ".key")


# As certificates of public authorities have them: signed timestamps, here without content.
LOGGED = "1.3.6.1.4.1.11129.2.4.2=DER:04:02:00:00"


def test_a_missing_intermediate_is_certain_if_the_certificate_was_logged(
    authority: Authority, tmp_path: Path
) -> None:
    public = authority.issue("public", also=LOGGED)
    said = str(chain_warning(chain(tmp_path, public.certificate)))
    assert "lacks the intermediate certificate 'authority'" in said
    assert chain_warning(chain(tmp_path, public.certificate, authority.certificate)) is None


def test_a_missing_intermediate_is_certain_if_the_file_has_others(
    authority: Authority, tmp_path: Path
) -> None:
    other, own = Authority(tmp_path / "other"), authority.issue("service").certificate
    assert "'authority'" in str(chain_warning(chain(tmp_path, own, other.certificate)))
    assert chain_warning(chain(tmp_path, own, other.certificate, authority.certificate)) is None


def test_a_private_authority_s_certificate_may_stand_alone(authority: Authority, tmp_path: Path) -> None:
    assert chain_warning(chain(tmp_path, authority.issue("service").certificate)) is None
    itself = Tls(certificates=authority.certificate, key=authority.certificate.removesuffix(".pem") + ".key")
    assert chain_warning(itself) is None
