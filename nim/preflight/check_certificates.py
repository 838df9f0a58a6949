"""Check TLS files as a client would: a handshake in memory, judged by OpenSSL.

Used before the start and before each reload, so that nginx is never given files it cannot serve with.
"""

import ssl
import time
from contextlib import suppress
from typing import Any

from nim.errors import PreflightError
from nim.plan import Tls
from nim.read_regular_file import read_bytes

# In the order of `Tls.files`.
VARIABLES = ("NIM_SSL_CERTS_PATH", "NIM_SSL_KEY_PATH", "NIM_SSL_CA_CERTS_PATH")
# A warning this long before a certificate expires leaves time to renew it.
SOON_SECONDS = 14 * 24 * 3600
DAY_SECONDS = 24 * 3600
# OpenSSL's verification results.
NOT_YET_VALID, EXPIRED = 9, 10
_LARGEST_FILE = 1 << 20
# Object identifier 1.3.6.1.4.1.11129.2.4.2 in DER: a certificate's timestamps of Certificate Transparency.
_SIGNED_TIMESTAMPS = bytes.fromhex("060a2b06010401d679020402")


class _Encrypted(Exception):
    """Raised when OpenSSL asks for the passphrase of a key."""


def check_certificates(tls: Tls) -> float | None:
    """Check the TLS files; return the expiry in Unix seconds, None if unknown, or PreflightError.

    PreflightError for a file that is unreadable, is no PEM, does not belong to the key, or is out of date.
    """
    for path, variable in zip(tls.files, VARIABLES, strict=False):
        _check_file(path, variable)
    _check_has_certificate(tls.certificates, "NIM_SSL_CERTS_PATH")
    if tls.client_authorities:
        _check_has_certificate(tls.client_authorities, "NIM_SSL_CA_CERTS_PATH")
    return _expiry(_server_context(tls), tls)


def expiry_warning(expires_at: float | None, now: float) -> str | None:
    """Return a sentence on a certificate that expires within two weeks of `now`; None for others."""
    if expires_at is None or expires_at - now > SOON_SECONDS:
        return None
    days = int((expires_at - now) // DAY_SECONDS)
    when = f"in {days} days" if days > 1 else "within two days"
    return f"the certificate in NIM_SSL_CERTS_PATH expires {when}, at {format_date(expires_at)}"


def chain_warning(tls: Tls) -> str | None:
    """Return a sentence if an intermediate certificate is certainly missing from the file; None otherwise.

    It is if the file has authorities, none of which has signed the service's certificate; or if that one was
    logged for Certificate Transparency, since authorities that do so never sign with their root.
    """
    client = _trusting(tls)
    try:
        peer = _handshake(_server_context(tls), client)
    except (ssl.SSLError, PreflightError):
        return None
    certificate, content = peer.getpeercert() or {}, peer.getpeercert(binary_form=True) or b""
    issuer = certificate.get("issuer")
    authorities = [one["subject"] for one in client.get_ca_certs()]
    if issuer is None or issuer in (certificate.get("subject"), *authorities):
        return None
    if not authorities and _SIGNED_TIMESTAMPS not in content:
        return None
    return (
        f"the file in NIM_SSL_CERTS_PATH lacks the intermediate certificate {_common_name(issuer)!r}, which "
        "has signed the service's: most clients will refuse it; append that certificate to the file"
    )


def _common_name(name: Any) -> str:
    """Return the most specific part of a certificate's subject or issuer as text."""
    parts = dict(part for parts in name for part in parts)
    return str(parts.get("commonName") or next(reversed(parts.values()), "?"))


def _check_file(path: str, variable: str) -> None:
    """Raise PreflightError unless `path` is a readable regular file of at most 1 MiB."""
    try:
        read_bytes(path, _LARGEST_FILE)
    except OSError as error:
        hint = f"{variable}=/path/to/file.pem, readable by the service's user"
        raise _cannot(variable, path, str(error.strerror), hint) from None


def _server_context(tls: Tls) -> ssl.SSLContext:
    """Return an SSLContext that serves with certificate and key; PreflightError if OpenSSL refuses."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tls.certificates, tls.key, password=_refuse_passphrase)
    except _Encrypted:
        raise _cannot(
            "NIM_SSL_KEY_PATH",
            tls.key,
            "the key is encrypted with a passphrase",
            f"openssl pkey -in {tls.key} -out key.pem, which asks for it and writes the key without one",
        ) from None
    except ssl.SSLError as error:
        raise _refused_by_openssl(error.reason, tls) from None
    return context


def _refused_by_openssl(reason: str | None, tls: Tls) -> PreflightError:
    """Return the PreflightError for OpenSSL's reason not to load a certificate with its key."""
    if reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"):
        return _cannot(
            "NIM_SSL_KEY_PATH",
            tls.key,
            f"the key does not belong to the first certificate in {tls.certificates}",
            "the key of that certificate; intermediate certificates follow the service's own",
        )
    if reason is None:
        return _cannot(
            "NIM_SSL_KEY_PATH",
            tls.key,
            "OpenSSL finds no private key in it",
            "a PEM file with a PRIVATE KEY block",
        )
    words = reason.lower().replace("_", " ")
    return _cannot(
        "NIM_SSL_CERTS_PATH",
        tls.certificates,
        f"OpenSSL refuses the certificate: {words}",
        f"openssl x509 -in {tls.certificates} -noout -text",
    )


def _refuse_passphrase() -> str:
    """Raise _Encrypted always: OpenSSL calls this for a key with a passphrase."""
    raise _Encrypted


def _check_has_certificate(path: str, variable: str) -> None:
    """Raise PreflightError for a file in which OpenSSL finds no certificate."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        hint = "a PEM file with CERTIFICATE blocks"
        raise _cannot(variable, path, "OpenSSL finds no certificate in it", hint) from None


def _expiry(server: ssl.SSLContext, tls: Tls) -> float | None:
    """Return the certificate's expiry in Unix seconds, None if unknown; PreflightError if not valid now."""
    try:
        peer = _handshake(server, _trusting(tls))
    except ssl.SSLCertVerificationError as error:
        if error.verify_code not in (NOT_YET_VALID, EXPIRED):
            return None  # such as an unusual purpose, which is the clients' business
        state = "has expired" if error.verify_code == EXPIRED else "is not valid yet"
        raise _cannot(
            "NIM_SSL_CERTS_PATH", tls.certificates, f"the certificate {state}", "renew it, or check `date`"
        ) from None
    except ssl.SSLError as error:
        raise _cannot(
            "NIM_SSL_CERTS_PATH",
            tls.certificates,
            f"a TLS handshake with it fails: {error.reason}",
            f"openssl x509 -in {tls.certificates} -noout -text",
        ) from None
    until = (peer.getpeercert() or {}).get("notAfter")
    return float(ssl.cert_time_to_seconds(until)) if isinstance(until, str) else None


def _trusting(tls: Tls) -> ssl.SSLContext:
    """Return a client's SSLContext that trusts every certificate in the service's file, for any name."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    # The certificate itself is the trust anchor: only its dates and its signature algorithm are in question.
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cafile=tls.certificates)
    return client


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLObject:
    """Return the client's SSLObject after a handshake between two contexts in memory; or SSLError."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    serving = server.wrap_bio(up, down, server_side=True)
    asking = client.wrap_bio(down, up)
    for _ in range(4):  # two round trips are enough for every version of TLS
        for side in (asking, serving):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return asking


def format_date(seconds: float) -> str:
    """Return Unix seconds as text such as `2026-12-28 02:11 UTC`."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def _cannot(variable: str, path: str, why: str, hint: str) -> PreflightError:
    """Return (not raise) the PreflightError "cannot use `variable` '`path`': `why`"."""
    return PreflightError(f"cannot use {variable} '{path}' (from the environment): {why}", hint=hint)
