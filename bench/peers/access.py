"""This gateway and HAProxy with API keys, limits and TLS: the same for both."""

import hashlib
import ssl
import subprocess
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench.peers import gateway, haproxy
from bench.peers.peer import KEY, Command, Peer, Site

PLAIN = "plain"
VARIANTS = (PLAIN, "keys", "limits", "tls", "all")
"""`limits` has keys as well, since most limits are of one key."""
MANY = 50_000
"""A limit that is counted and never reached."""


class Pair(NamedTuple):
    """Paths of a certificate and its key."""

    certificate: str
    key: str


def certificate(directory: Path) -> Pair:
    """Return a new certificate for localhost that signs itself, on P-256, as most services have now."""
    pair = Pair(str(directory / "tls.crt"), str(directory / "tls.key"))
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    files = ("-keyout", pair.key, "-out", pair.certificate, "-days", "2", "-subj", "/CN=localhost")
    subprocess.run(["openssl", "req", "-x509", *curve, *files], check=True, capture_output=True)
    return pair


def client_context() -> ssl.SSLContext:
    """Return a client's TLS that accepts any certificate: its identity is not what is measured."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def peers(pair: Pair) -> list[Peer]:
    """Return both in every variant."""
    made = []
    for variant in VARIANTS:
        context = client_context() if variant in ("tls", "all") else None
        made += [
            Peer(
                name=f"gateway-{variant}",
                title=f"this gateway, {variant}",
                command=partial(_gateway, variant=variant, pair=pair),
                context=context,
                transport="unix",
            ),
            Peer(
                name=f"haproxy-{variant}",
                title=f"HAProxy, {variant}",
                command=partial(_haproxy, variant=variant, pair=pair),
                missing=haproxy.PROGRAM.missing,
                context=context,
                transport="unix",
            ),
        ]
    return made


def _digest() -> str:
    return hashlib.sha256(KEY.encode()).hexdigest()


def _gateway(site: Site, *, variant: str, pair: Pair) -> Command:
    settings = {}
    if variant in ("keys", "limits", "all"):
        site.write("api_keys", f"bench {_digest()}\n")
        settings["NIM_API_KEYS_FILE"] = site.write("keys", f"bench sha256:{_digest()}\n")
    if variant in ("limits", "all"):
        settings |= dict.fromkeys(
            ("NIM_MAX_REQUESTS", "NIM_MAX_REQUESTS_PER_KEY", "NIM_RATE_PER_KEY"), str(MANY)
        )
    if variant in ("tls", "all"):
        settings |= {
            "NIM_SSL_MODE": "TLS",
            "NIM_SSL_CERTS_PATH": pair.certificate,
            "NIM_SSL_KEY_PATH": pair.key,
        }
    return gateway.command(site, settings=settings)


def _haproxy(site: Site, *, variant: str, pair: Pair) -> Command:
    lines, tls = [], ""
    if variant in ("keys", "limits", "all"):
        file = site.write("keys", f"{_digest().upper()} bench\n")
        lines += [
            "http-request set-var(txn.key) req.hdr(authorization),regsub(^[Bb]earer\\ +,),sha2(256),hex",
            f"http-request set-var(txn.name) var(txn.key),map_str({file})",
            "http-request deny deny_status 401 unless { var(txn.name) -m found }",
            "http-request del-header authorization",
            "http-request del-header x-api-key",
        ]
    if variant in ("limits", "all"):
        lines += [
            "stick-table type string len 64 size 10k expire 10s store conn_cur,http_req_rate(1s)",
            "http-request track-sc0 var(txn.name)",
            f"http-request deny deny_status 429 if {{ sc_conn_cur(0) gt {MANY} }}",
            f"http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt {MANY} }}",
        ]
    if variant in ("tls", "all"):
        both = site.write("pair.pem", Path(pair.certificate).read_text() + Path(pair.key).read_text())
        tls = f"ssl crt {both} alpn h2,http/1.1 no-tls-tickets"
    return haproxy.command(site, mode="http", unix=True, bind=tls, frontend=lines)
