"""Causes of a failed connection to the hub: proxy, certificate, name resolution, port."""

import re
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from nim.frozen_dataclass import frozen_dataclass
from nim.models.hub.check_connection_variables import (
    CERTIFICATES,
    ENDPOINT,
    OTHER_CERTIFICATES,
    Proxy,
    proxy_for,
)

AGAIN = "the same command again goes on where this one ended"
# OpenSSL's wording for a certificate from an unknown issuer.
_UNTRUSTED = ("self-signed", "self signed", "unable to get local issuer", "unable to verify the first")
_PROXY_ANSWER = re.compile(r"\b([45]\d\d)\b")


@frozen_dataclass
class Cause:
    """What failed, as the end of "cannot fetch …: ", and what to do."""

    why: str
    hint: str


def connection_cause(causes: Sequence[BaseException], url: str, environ: Mapping[str, str]) -> Cause:
    """Return the Cause (reason, hint) of a failed connection; `causes`: the HTTP error and those behind."""
    names = {kind.__name__ for error in causes[:1] for kind in type(error).__mro__}
    text = " ".join(str(causes[0]).split())
    proxy = proxy_for(url, environ)
    if "ProxyError" in names:
        return _proxy_refusal(text, proxy, url)
    if verification := next((one for one in causes if isinstance(one, ssl.SSLCertVerificationError)), None):
        return _certificate(verification.verify_message or text, url, proxy, environ)
    if any(isinstance(one, ssl.SSLError) for one in causes):
        return _handshake(text, url, proxy)
    if "TimeoutException" in names:
        return _timeout(names, url, proxy)
    if "ConnectError" in names:
        return _unreachable(causes, text, url, proxy, environ)
    if "TooManyRedirects" in names:
        return Cause(why=f"{_host(url)} redirects without end", hint=f"{ENDPOINT}=… the hub's own address")
    if "RemoteProtocolError" in names and ("illegal" in text.lower() or "invalid" in text.lower()):
        return Cause(
            why=f"what answers at {url} does not speak HTTP: {text}", hint=f"{ENDPOINT}=… the hub's address"
        )
    return Cause(why=f"the connection to {_asked(url, proxy)} broke off: {text}", hint=AGAIN)


def _host(url: str) -> str:
    """Return a URL's scheme and host as text, without user and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _asked(url: str, proxy: Proxy | None) -> str:
    """Return the URL as text, with the proxy used for it if there is one."""
    return f"{url} through the proxy {proxy.address} ({proxy.variable})" if proxy else url


def _proxy_refusal(text: str, proxy: Proxy | None, url: str) -> Cause:
    """Return the Cause for an error answer of the proxy, such as 407."""
    name, address = (proxy.variable, proxy.address) if proxy else ("HTTPS_PROXY", "the proxy")
    status = found.group() if (found := _PROXY_ANSWER.search(text)) else ""
    if status == "407":
        how = (
            "does not know the user and password in it"
            if proxy and proxy.has_user
            else "wants a user and password"
        )
        return Cause(
            why=f"the proxy {address} ({name}) {how} (407)",
            hint=f"{name}=http://USER:PASSWORD@{address.partition('://')[2]}, with %40 for an @",
        )
    return Cause(
        why=f"the proxy {address} ({name}) does not let anybody through to {_host(url)}: {text}",
        hint=f"NO_PROXY={urlsplit(url).hostname}, if the hub is to be asked without it",
    )


def _certificate(said: str, url: str, proxy: Proxy | None, environ: Mapping[str, str]) -> Cause:
    """Return the Cause for a rejected TLS certificate."""
    host = urlsplit(url).hostname
    why = f"the certificate of {_asked(_host(url), proxy)} is not accepted: {said}"
    if any(words in said for words in _UNTRUSTED):
        return Cause(why=why, hint=_trust(environ))
    if "expired" in said or "not yet valid" in said:
        return Cause(
            why=why,
            hint="date: this machine's clock may be wrong; else the server's operator must renew it",
        )
    if "ismatch" in said:
        return Cause(why=why, hint=f"{ENDPOINT}=https://… by the name that the certificate has, not {host}")
    return Cause(why=why, hint=_trust(environ))


def _trust(environ: Mapping[str, str]) -> str:
    """Return the hint which variable to set so that the certificate is trusted."""
    other = next((name for name in OTHER_CERTIFICATES if environ.get(name)), None)
    if other:
        return f"{CERTIFICATES}={environ[other]}: {other} is not read any more"
    if environ.get(CERTIFICATES):
        return f"add it to {environ[CERTIFICATES]} ({CERTIFICATES}), which is used instead of the system's"
    return f"{CERTIFICATES}=… a file with the system's certificates and your organisation's"


def _handshake(text: str, url: str, proxy: Proxy | None) -> Cause:
    """Return the Cause for a failed TLS handshake."""
    plain = any(
        words in text.lower() for words in ("wrong version number", "wrong_version", "unknown protocol")
    )
    if plain and proxy and proxy.address.startswith("https://"):
        address = proxy.address.partition("://")[2]
        why = f"the proxy {proxy.address} ({proxy.variable}) does not speak TLS"
        return Cause(why=why, hint=f"{proxy.variable}=http://{address}")
    if plain:
        return Cause(
            why=f"{_asked(url, proxy)} does not speak TLS there",
            hint=f"{ENDPOINT}={url.replace('https://', 'http://', 1)}, or the port that speaks TLS",
        )
    return Cause(
        why=f"no TLS came about with {_asked(url, proxy)}: {text}", hint=f"{ENDPOINT}=… another address"
    )


def _timeout(names: set[str], url: str, proxy: Proxy | None) -> Cause:
    """Return the Cause for a time-out while connecting or reading."""
    if "ConnectTimeout" in names:
        what = f"the proxy {proxy.address} ({proxy.variable})" if proxy else url
        hint = (
            f"{proxy.variable}=… another proxy"
            if proxy
            else f"HTTPS_PROXY=… a proxy, or {ENDPOINT}=… a mirror"
        )
        return Cause(why=f"{what} did not take the connection in time", hint=hint)
    return Cause(
        why=f"{_asked(url, proxy)} did not answer in time",
        hint="HF_HUB_ETAG_TIMEOUT=60 HF_HUB_DOWNLOAD_TIMEOUT=60, and the same command again",
    )


def _unreachable(
    causes: Sequence[BaseException], text: str, url: str, proxy: Proxy | None, environ: Mapping[str, str]
) -> Cause:
    """Return the Cause for an unknown host, a refused port or no route."""
    target = proxy.address if proxy else _host(url)
    host = urlsplit(target).hostname
    unknown = any(isinstance(one, socket.gaierror) for one in causes)
    if proxy:
        why = f"the proxy {proxy.address} ({proxy.variable}) is out of reach: {text}"
        hint = (
            f"{proxy.variable}=… the proxy's address, or NO_PROXY={urlsplit(url).hostname} to ask without it"
        )
        return Cause(why=f"{why}: its name is not known here" if unknown else why, hint=hint)
    if unknown:
        why = f"the name {host} is not known here ({text})"
        return Cause(
            why=why, hint=f"getent hosts {host}; HTTPS_PROXY=… where only a proxy knows it, or {ENDPOINT}=…"
        )
    why = f"{url} is out of reach: {text}"
    if bypassed := next(_bypassed(url, environ), None):
        return Cause(
            why=f"{why}; it was asked directly, as NO_PROXY says", hint=f"NO_PROXY without {host}: {bypassed}"
        )
    return Cause(why=why, hint=f"{ENDPOINT}=… a mirror, or HTTPS_PROXY=…")


def _bypassed(url: str, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield text on the proxy that NO_PROXY kept the client from using; nothing if there is none."""
    others = {name: value for name, value in environ.items() if name.lower() != "no_proxy"}
    if found := proxy_for(url, others):
        yield f"{found.variable} has {found.address}"
